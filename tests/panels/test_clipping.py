"""What clipping leaves of the gradient, as a picture."""

import numpy as np
import pytest
import torch
from torch import nn

import nn_inspector as nni
from nn_inspector.panels import clipping, gradient_norm
from nn_inspector.panels.panel import Selection
from nn_inspector.probes import Measurement, TraceEntry
from tests.trainings import classifier

ALL = Selection()


def trained(limit, *, value=False, steps=12):
    case = classifier()
    clip = nn.utils.clip_grad_value_ if value else nn.utils.clip_grad_norm_
    norms = []
    with nni.watch(case.model, case.optimizer, case.loss_fn, every=1) as inspector:
        batches = list(case.train_loader) * 2
        for x, y in batches[:steps]:
            case.optimizer.zero_grad()
            case.loss_fn(case.model(x), y).backward()
            norms.append(float(nn.utils.get_total_norm([p.grad for p in case.model.parameters()])))
            if limit is not None:
                clip(case.model.parameters(), limit)
            case.optimizer.step()
    return inspector.run, norms


def made(left, *, steps=None, calls=()):
    run = nni.Run("made", {"model": "M"})
    run.record([Measurement(step, "gradient_left", "optimizer 0", value) for step, value in enumerate(left)])
    run.steps = len(left) if steps is None else steps
    run.trace.extend(TraceEntry(0, call, {"kind": "norm", "limit": 1.0}) for call in calls)
    return run


def test_what_is_left_the_share_of_clipped_steps_and_the_norm_before_are_shown():
    run, norms = trained(0.2)
    chart = clipping.picture(run, ALL)
    assert list(chart.series) == ["left, each measured step", "left, smoothed", "steps clipped, smoothed"]
    assert chart.series["left, each measured step"].y == pytest.approx(
        [min(1.0, 0.2 / norm) for norm in norms[1:]], rel=1e-3
    )
    assert chart.series["steps clipped, smoothed"].y == pytest.approx(1.0)
    assert (
        chart.note
        == f"Clipped to 0.2 in 100% of the measured steps; the norm there was {np.median(norms[1:]):.3g} before (median)."
    )
    before = gradient_norm.picture(run, ALL).series["all, before clipping"]
    assert before.x.tolist() == list(range(1, 12))
    assert before.y[0] == pytest.approx(norms[1], rel=1e-3)


def test_a_limit_that_is_never_reached_is_no_clipping_of_any_step():
    chart = clipping.picture(trained(1e6)[0], ALL)
    assert chart.series["steps clipped, smoothed"].y == pytest.approx(0.0)
    assert chart.note == "Clipped to 1e+06 in none of the measured steps."


def test_a_loop_that_does_not_clip_has_no_picture():
    run, _ = trained(None)
    chart = clipping.picture(run, ALL)
    assert chart.empty
    assert chart.note == clipping.NOTHING
    assert "all, before clipping" not in gradient_norm.picture(run, ALL).series


def test_gradients_that_the_loop_makes_smaller_by_hand_are_seen_too():
    chart = clipping.picture(made([1.0, 0.5, 1.0, 0.25]), ALL)
    assert not chart.empty
    assert chart.note == "Clipped in 50% of the measured steps."


@pytest.mark.parametrize(
    "run",
    [made([1e-5, 1e-5], calls=("clip", "unscale")), made([])],
    ids=["a gradient scaler", "nothing measured"],
)
def test_where_it_is_not_known_what_clipping_leaves_nothing_is_shown(run):
    chart = clipping.picture(run, ALL)
    assert chart.empty
    assert chart.note == (clipping.UNKNOWN if run.steps else "")


def test_several_optimizers_may_clip_each_its_own():
    run = made([0.5])
    run.record([Measurement(0, "gradient_left", "optimizer 1", 0.1)])
    assert clipping.picture(run, ALL).note == clipping.UNKNOWN


def test_numbers_that_are_not_finite_leave_a_gap():
    chart = clipping.picture(made([np.nan, 0.5, np.inf, 0.5], calls=("clip",)), ALL)
    drawn = chart.series["steps clipped, smoothed"].y
    assert np.isfinite(drawn[1:]).all()
    assert torch.isfinite(torch.tensor(drawn[-1]))
