"""In a line a run: in what it differs from one behind it, and what left the range of that one first."""

import pytest

import nn_inspector as nni
from nn_inspector.panels import against
from nn_inspector.panels.against import Against
from nn_inspector.probes import Measurement


def run_of(losses, name="mine", **parameters):
    run = nni.Run(name, {"model": "M", **parameters})
    run.record([Measurement(step, "loss", "train", loss) for step, loss in enumerate(losses)])
    run.steps = len(losses)
    return run


CALM, LEAP = [0.5] * 80, [0.5] * 60 + [90.0] * 20
SOUND = {"optimizer": {"lr": 0.1}}


@pytest.mark.parametrize(
    ("losses", "parameters", "said"),
    [
        (CALM, SOUND, "no parameter differs. Nothing left its range."),
        (CALM, {"optimizer": {"lr": 0.5}}, "optimizer lr is 0.5, there 0.1. Nothing left its range."),
        (CALM, {"optimizer": {"lr": 0.5}, "loss": "L1"}, "optimizer lr is 0.5, there 0.1, and 1 more differ. Nothing"),
        (CALM, {**SOUND, "loss": "x" * 99}, f"loss is {'x' * 24}…, there —. Nothing left its range."),
        (LEAP, SOUND, "First out of its range: loss: 90 at step 60, where the reference is 0.5."),
    ],
)
def test_the_line_says_both(losses, parameters, said):
    line = Against(run_of(losses, **parameters), [run_of(CALM, "<sound>", **SOUND)]).html(trains=False)
    assert line.startswith("<div>Against &lt;sound&gt;: ")
    assert said in line
    assert "nni.compare() shows all of it." in line


def test_runs_whose_files_have_a_name_are_compared_by_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [run_of(CALM, name) for name in ("mine", "sound")]
    for run in runs:
        run.write_to(tmp_path / "nn_inspector_runs" / f"{run.name}.sqlite", pytest.fail)
    line = Against(runs[0], runs[1:]).html(trains=False)
    for run in runs:
        run.close()
    assert "nni.compare([&quot;mine&quot;, &quot;sound&quot;]) shows" in line


def test_while_it_trains_little_is_compared_and_afterwards_all(monkeypatch):
    made, find = [], against.first_changes

    def first_changes(run, other):
        made.append(run.steps)
        return find(run, other)

    monkeypatch.setattr(against, "first_changes", first_changes)
    mine = run_of([0.5])
    line = Against(mine, [run_of(CALM, "sound")])
    for step in range(1, 100):
        mine.record([Measurement(step, "loss", "train", 0.5)])
        mine.steps = step
        line.html(trains=True)
    assert made == [1, 2, 4, 8, 16, 32, 64]
    line.html(trains=False)
    line.html(trains=False)
    assert made == [1, 2, 4, 8, 16, 32, 64, 99]
