import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nn_inspector as nni
from nn_inspector.history import earlier
from nn_inspector.probes import Measurement
from tests.trainings import classifier


def recorded(steps, every=1):
    run = nni.Run("made", {"model": "M"})
    run.record([Measurement(step, "loss", "train", float(step)) for step in range(0, steps, every)])
    run.record([Measurement(step, "late", "train", float(step)) for step in range(steps // 2, steps)])
    run.steps = steps
    return run


@given(st.integers(1, 9000), st.integers(0, 9000), st.integers(1, 7))
@settings(deadline=None, max_examples=25)
def test_nothing_of_later_steps_is_seen(steps, step, every):
    run = recorded(steps, every)
    then = earlier(run, step)
    whole, seen = run.series("loss", "train"), then.series("loss", "train")
    assert (seen.steps <= step).all()
    assert len(seen) == (whole.steps <= step).sum() or len(seen) == 1
    assert then.steps == min(step + 1, steps)
    assert then.last("loss", "train") == run.at(step)["loss", "train"]
    assert ("late" in then.quantities()) == (step >= steps // 2)


def test_it_reads_like_a_run_and_takes_nothing():
    run = recorded(10)
    run.add_finding(nni.Finding("shuffling", "error", "Sorted."))
    then = earlier(run, 4)
    assert [finding.check for finding in then.findings] == ["shuffling"]
    assert then.parameters == run.parameters
    assert then.at(9)["loss", "train"] == 4.0
    assert then.sources("loss") == ["train"]
    with pytest.raises(nni.InspectorError, match="nothing can be recorded"):
        then.record([])
    assert run.steps == 10


def test_a_run_in_a_file_can_be_looked_at_earlier(tmp_path):
    case = classifier()
    path = tmp_path / "run.sqlite"
    with nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1, run=path
    ) as inspector:
        case.run(3)
        before = inspector.run.series("gradient_norm", "0.weight")
    then = earlier(nni.open_run(path), 5)
    assert np.array_equal(then.series("gradient_norm", "0.weight").values, before.values[before.steps <= 5])
    assert len(then.epochs("train")) == 1
