import re

import pytest

from benchmarks.diagnosis import __main__ as command
from benchmarks.diagnosis import pages
from benchmarks.diagnosis.answer import Answer
from benchmarks.diagnosis.figures import Figures
from benchmarks.diagnosis.tasks import Task
from nn_inspector import catalog

BROKEN = Task("a", "rate", "broken", frozenset({"learning_rate"}), frozenset({"one_batch_fit"}))
OUTCOMES = [
    (BROKEN, Answer((("learning_rate", "error"), ("one_batch_fit", "warning")), 2.0)),
    (Task("a", "rate", "repaired"), Answer((("shuffling", "warning"),), 1.0)),
    (Task("b", "vision", "healthy"), Answer((), 1.0, unlooked=("symmetry",))),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "FOLDER", tmp_path)
    monkeypatch.setattr(pages, "FIGURES", tmp_path / "figures.json")
    return tmp_path


def test_figures_are_the_same_after_they_were_written_and_read(folder):
    figures = Figures.of(OUTCOMES)
    figures.write(pages.FIGURES)
    assert Figures.read(pages.FIGURES) == figures


ALARMS = "| false alarms on sound trainings, of those where it looked"


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("learning_rate", "| it named the cause | 1 | 0 |"),
        ("learning_rate", "| broken trainings | 1 | 0 |"),
        ("shuffling", f"{ALARMS} | 1 of 2 (50%) | 0 of 1 (0%) |"),
        ("symmetry", f"{ALARMS} | 0 of 1 (0%) | 0 of 1 (0%) |"),
        ("README", "| 0 of 1 (0%) | 0 of 1 (0%) |"),
    ],
)
def test_each_check_has_a_page_with_what_it_did_in_each_part(name, row):
    apart = Task("c", "vision", "healthy")
    assert (BROKEN.part, apart.part) == ("set", "held-out")
    written = pages.pages(Figures.of([*OUTCOMES, (apart, Answer())]))
    assert set(written) == {"README.md", *(f"{info.name}.md" for info in catalog())}
    assert row in written[f"{name}.md"]


@pytest.mark.parametrize(("beside", "command"), [("", "--docs`"), ("| a |", "--docs --peers`")])
def test_the_command_is_that_which_was_given(folder, beside, command):
    assert command in pages.pages(Figures.of(OUTCOMES, beside))["README.md"]


def test_a_page_of_a_check_that_is_gone_is_taken_away(folder):
    (folder / "an_old_check.md").write_text("old")
    pages.write(Figures.of(OUTCOMES))
    assert not (folder / "an_old_check.md").exists()
    assert (folder / "learning_rate.md").exists()


@pytest.mark.parametrize("info", catalog(), ids=lambda info: info.name)
def test_links_of_a_page_lead_somewhere(info):
    written = pages.pages(Figures.of(OUTCOMES))
    linked = re.findall(r"\]\((\S+?\.md)\)", written[f"{info.name}.md"])
    assert linked
    assert set(linked) <= set(written)


@pytest.mark.parametrize("also", [["--part", "set"], ["--only", "a"], ["--broken"], ["--passive"]])
def test_figures_of_a_part_do_not_go_into_the_documentation(also, capsys):
    assert command.main(["--docs", *also]) == 1
    assert "--docs wants figures of all trainings" in capsys.readouterr().err


def test_the_pages_of_the_documentation_are_those_of_the_catalogue_and_the_figures():
    """If not: `python -m benchmarks.diagnosis.pages`."""
    there = {page.name: page.read_text(encoding="utf-8") for page in pages.FOLDER.glob("*.md")}
    assert there == pages.pages(Figures.read(pages.FIGURES))
