import datetime as dt
from pathlib import Path

import pytest

import nn_inspector as nni
from nn_inspector.history import places, run_path
from tests.history.files import long_file
from tests.trainings import classifier


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("first", "nn_inspector_runs/first.sqlite"),
        ("lr=0.1, größer (2)", "nn_inspector_runs/lr=0.1, größer (2).sqlite"),
        ("v1.2", "nn_inspector_runs/v1.2.sqlite"),
        ("here.sqlite", "here.sqlite"),
        ("folder/x", "folder/x.sqlite"),
        ("folder/x.sqlite", "folder/x.sqlite"),
        ("./x", "x.sqlite"),
        (Path("x"), "x.sqlite"),
        (Path("a") / "b.db", "a/b.db.sqlite"),
    ],
)
def test_names_and_paths(run, expected, tmp_path):
    assert run_path(run, "Net", automatic=False) == tmp_path / expected


@pytest.mark.parametrize(
    "run",
    ["", " ", ".", "..", ".hidden", "a:b", "a*b", "a?b", 'a"b', "a<b", "a|b", "a\\b", "a\nb", "a\0b", "a\0.sqlite", "CON", "nul.txt", "com1", "end.",
     "end ", "x" * 101, "-x", "folder/", True, 3, b"x", ["x"]],
)  # fmt: skip
def test_names_that_are_no_names(run):
    with pytest.raises(nni.ArgumentError, match=r'^run: expected a .*For example run="wider layers"'):
        run_path(run, "Net", automatic=False)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(nni.ArgumentError, match="expected a file, got the folder"):
        run_path(tmp_path, "Net", automatic=False)


def test_a_notebook_names_its_runs_itself(tmp_path, monkeypatch):
    path = run_path(None, "My<Net>", automatic=True)
    assert path.parent == tmp_path / "nn_inspector_runs"
    assert dt.datetime.strptime(path.name, "MyNet-%Y-%m-%d-%H-%M-%S.sqlite")  # noqa: DTZ007
    assert run_path(None, "Net", automatic=False) is None
    assert run_path(False, "Net", automatic=True) is None


def test_two_watches_in_one_second_have_two_files(monkeypatch):
    monkeypatch.setattr("nn_inspector.watching.in_notebook", lambda: True)
    monkeypatch.setattr(places, "dt", _FrozenClock)
    cases = [classifier(), classifier()]
    inspectors = [nni.watch(case.model, case.optimizer, case.loss_fn, show=False) for case in cases]
    for case in cases:
        case.run(1)
    for inspector in inspectors:
        inspector.detach()
    names = [inspector.run.path.name for inspector in inspectors]
    assert names == ["Sequential-2030-01-02-03-04-05.sqlite", "Sequential-2030-01-02-03-04-05-2.sqlite"]
    assert [nni.open_run(inspector.run.path).steps for inspector in inspectors] == [6, 6]


class _FrozenClock:
    class datetime(dt.datetime):  # noqa: N801 - stands for the class of that name
        @classmethod
        def now(cls, zone=None):
            return dt.datetime(2030, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)

        def astimezone(self, zone=None):
            return self


def test_in_a_script_nothing_is_written_unless_asked(tmp_path):
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn) as inspector:
        case.run(1)
    assert inspector.run.path is None
    assert list(tmp_path.iterdir()) == []


def test_a_bad_name_attaches_nothing():
    case = classifier()
    with pytest.raises(nni.ArgumentError):
        nni.watch(case.model, case.optimizer, case.loss_fn, run="a:b")
    with pytest.raises(nni.ArgumentError, match="motivation: expected a text, got an int"):
        nni.watch(case.model, case.optimizer, case.loss_fn, motivation=3)
    assert not case.optimizer._optimizer_step_post_hooks


def test_a_watched_run_is_found_by_its_name():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, run="wider", motivation="is it too narrow?") as inspector:
        case.run(2)
    run = nni.open_run("wider")
    assert (run.steps, run.name, run.motivation) == (12, "wider", "is it too narrow?")
    assert run.path.absolute() == inspector.run.path
    assert run.metadata["seed"] == inspector.run.metadata["seed"]
    assert run.parameters == inspector.run.parameters


def test_runs_are_listed_the_newest_first_without_what_is_not_ours(tmp_path):
    assert nni.runs() == []
    folder = tmp_path / "nn_inspector_runs"
    folder.mkdir()
    from nn_inspector.history.facts import Facts
    from tests.history.files import writing

    for name, started in (("b", "2030"), ("c", "2028"), ("a", "2029")):
        facts = Facts(name, {})
        facts.metadata = {"started": started}
        with writing(folder / f"{name}.sqlite", facts) as write:
            write([])
    (folder / "notes.sqlite").write_text("hello")
    (folder / "empty.sqlite").touch()
    (folder / "deep.sqlite").mkdir()
    assert [run.name for run in nni.runs()] == ["b", "a", "c"]
    assert [run.name for run in nni.runs(folder)] == ["b", "a", "c"]
    with pytest.raises(nni.ArgumentError, match="folder: expected a folder"):
        nni.runs(tmp_path / "nowhere")


def test_many_runs_do_not_need_many_open_files(tmp_path):
    def open_files():
        return len(list(Path("/proc/self/fd").iterdir()))

    for number in range(5):
        long_file(tmp_path / f"{number}.sqlite", 10).close()
    before = open_files()
    runs = nni.runs(tmp_path)
    assert open_files() == before
    assert [run.series("loss", "train").total for run in runs] == [10] * 5
