import random
import subprocess
import sys
import types

import numpy as np
import pytest
import torch

from nn_inspector.history import metadata
from nn_inspector.history.facts_json import FactError, from_text, to_text


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_commit_is_what_git_says(tmp_path):
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "-b", "main")
    assert metadata.git_commit(repository) is None
    git(repository, "commit", "--allow-empty", "-m", "first")
    (repository / "deep").mkdir()
    for prepare in ([], ["pack-refs", "--all"], ["checkout", "--detach"]):
        git(repository, *(prepare or ["status"]))
        assert metadata.git_commit(repository / "deep") == git(repository, "rev-parse", "HEAD")
    git(repository, "worktree", "add", "-b", "other", str(tmp_path / "worktree"))
    git(tmp_path / "worktree", "commit", "--allow-empty", "-m", "second")
    assert metadata.git_commit(tmp_path / "worktree") == git(tmp_path / "worktree", "rev-parse", "HEAD")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"ref: refs/heads/none"])
def test_a_broken_repository_is_no_error(tmp_path, content):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_bytes(content)
    assert not metadata.git_commit(tmp_path)


def test_cells_of_a_notebook_are_kept_in_bounds(monkeypatch):
    cells = ["", "import torch", "x" * 150_000, "watch()", "y" * 100_000]
    shell = types.SimpleNamespace(user_ns={"In": cells})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert metadata.notebook_cells() == ["watch()", "y" * 100_000]
    assert metadata.count_cells() == 4
    cells[:] = ["", "a", "b"]
    assert metadata.surroundings()["cells"] == ["a", "b"]


def test_outside_a_notebook_there_are_no_cells(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    assert metadata.notebook_cells() == []


def test_versions_and_seed_are_told():
    facts = metadata.surroundings()
    assert {"python", "torch", "numpy", "nn_inspector", "platform", "started", "git_commit"} <= facts.keys()
    assert facts["seed"] == torch.initial_seed()
    assert from_text(to_text(facts)) == facts


def test_states_of_random_generators_are_told_and_left_alone():
    def states(seed):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        return metadata.surroundings()["random_states"]

    first, again, other = states(0), states(0), states(1)
    assert first == again
    assert first.keys() == {"python", "numpy", "torch"}
    assert all(first[name] != other[name] for name in first)
    drawn = random.random(), np.random.rand(), torch.rand(())
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    assert drawn == (random.random(), np.random.rand(), torch.rand(()))
    before = metadata.random_states()
    random.random()
    after = metadata.random_states()
    assert [name for name in before if before[name] != after[name]] == ["python"]


def test_text_that_json_cannot_hold_is_described():
    data = from_text(to_text({"device": torch.device("cpu"), "set": {1}, ("a", "tuple"): 2, "inf": float("inf")}))
    assert data == {"device": "cpu", "set": [1], "inf": float("inf")}


def test_what_is_no_text_is_refused():
    for text in (None, 3, b"{}", "{", "[" * 100_000):
        with pytest.raises(FactError):
            from_text(text)
