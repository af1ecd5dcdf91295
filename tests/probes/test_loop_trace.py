"""What the trace of the first steps says about loops of all kinds."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import nn_inspector as nni
from tests.probes.traces import STEP, calls, facts, traced, usual
from tests.trainings import CLASSES, blobs, classifier, mlp


def cleared_after_backward(c, x, y):
    loss = c.loss_fn(c.model(x), y)
    loss.backward()
    c.optimizer.zero_grad()
    c.optimizer.step()


def cleared_after_the_step(c, x, y):
    c.loss_fn(c.model(x), y).backward()
    c.optimizer.step()
    c.model.zero_grad(set_to_none=False)


def cleared_before_backward(c, x, y):
    loss = c.loss_fn(c.model(x), y)
    c.optimizer.zero_grad(set_to_none=False)
    loss.backward()
    c.optimizer.step()


def never_cleared(c, x, y):
    c.loss_fn(c.model(x), y).backward()
    c.optimizer.step()


def clipped(c, x, y):
    c.optimizer.zero_grad()
    c.loss_fn(c.model(x), y).backward()
    torch.nn.utils.clip_grad_norm_(c.model.parameters(), 0.01)
    c.optimizer.step()


def clipped_too_late(c, x, y):
    c.optimizer.zero_grad()
    c.loss_fn(c.model(x), y).backward()
    c.optimizer.step()
    torch.nn.utils.clip_grad_norm_(c.model.parameters(), 0.01)


def clipped_before_backward(c, x, y):
    loss = c.loss_fn(c.model(x), y)
    torch.nn.utils.clip_grad_norm_(c.model.parameters(), 0.01)
    loss.backward()
    c.optimizer.step()
    c.optimizer.zero_grad()


def clipped_twice(c, x, y):
    c.optimizer.zero_grad()
    c.loss_fn(c.model(x), y).backward()
    for parameter in c.model.parameters():
        torch.nn.utils.clip_grad_norm_(parameter, 0.01)
    torch.nn.utils.clip_grad_value_(c.model.parameters(), 0.5)
    c.optimizer.step()


def scaled_and_clipped(c, x, y):
    c.optimizer.zero_grad()
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(c.loss_fn(c.model(x), y)).backward()
    scaler.unscale_(c.optimizer)
    torch.nn.utils.clip_grad_norm_(c.model.parameters(), 0.01)
    scaler.step(c.optimizer)


def doubled_behind_clipping(c, x, y):
    c.optimizer.zero_grad()
    c.loss_fn(c.model(x), y).backward()
    torch.nn.utils.clip_grad_norm_(c.model.parameters(), 0.01)
    for parameter in c.model.parameters():
        parameter.grad = 2 * parameter.grad
    c.optimizer.step()


def noisy_gradients(c, x, y):
    c.optimizer.zero_grad()
    c.loss_fn(c.model(x), y).backward()
    for parameter in c.model.parameters():
        parameter.grad += torch.randn_like(parameter)
    c.optimizer.step()


def scaled(c, x, y):
    c.optimizer.zero_grad()
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(c.loss_fn(c.model(x), y)).backward()
    scaler.step(c.optimizer)


def decaying(c, x, y):
    usual(c, x, y)
    c.optimizer.param_groups[0]["lr"] *= 0.5


ORDERS = {
    "usual": (usual, STEP),
    "cleared after backward": (
        cleared_after_backward,
        ["batch", "forward", "cross_entropy", "backward", "zero_grad", "step"],
    ),
    "cleared after the step": (cleared_after_the_step, ["zero_grad", *[c for c in STEP if c != "zero_grad"]]),
    "cleared before backward": (
        cleared_before_backward,
        ["batch", "forward", "cross_entropy", "zero_grad", "backward", "step"],
    ),
    "never cleared": (never_cleared, [c for c in STEP if c != "zero_grad"]),
    "clipped": (clipped, [*STEP[:-1], "clip", "step"]),
    "clipped too late": (clipped_too_late, ["clip", *STEP]),
    "clipped before backward": (
        clipped_before_backward,
        ["zero_grad", "batch", "forward", "cross_entropy", "clip", "backward", "step"],
    ),
    "clipped one by one and by value": (clipped_twice, [*STEP[:-1], *["clip"] * 5, "step"]),
    "unscaled and clipped": (scaled_and_clipped, [*STEP[:-1], "unscale", "clip", "rescale", "step"]),
    "unscaled by the scaler": (scaled, [*STEP[:-1], "unscale", "rescale", "step"]),
    "a rate that changes": (decaying, ["scheduler", *STEP]),
}


@pytest.mark.parametrize("name", ORDERS)
def test_the_order_of_a_step(name):
    loop, expected = ORDERS[name]
    assert calls(traced(loop)) == expected


def test_between_which_events_gradients_were_cleared():
    found = {
        loop: facts(traced(loop), "zero_grad", step=1)[0]["at"]
        for loop, _ in ORDERS.values()
        if loop is not never_cleared
    }
    assert found[usual] == ["batch", "forward"]
    assert found[cleared_after_backward] == ["backward", "step"]
    assert found[cleared_after_the_step] == ["step", "batch"]
    assert found[cleared_before_backward] == ["forward", "backward"]


def test_what_was_clipped():
    first, second = (facts(traced(loop), "clip", step=1) for loop in (clipped, clipped_twice))
    assert (first[0]["kind"], first[0]["limit"]) == ("norm", 0.01)
    assert 0.01 < first[0]["norm"] < 10
    assert [one["kind"] for one in second] == ["norm"] * 4 + ["value"]
    assert second[-1] == {"kind": "value", "limit": 0.5, "norm": None}


@pytest.mark.parametrize(
    ("loop", "before", "after"),
    [(scaled, 1.0, 1 / 8), (scaled_and_clipped, 1 / 8, 1.0), (doubled_behind_clipping, 1.0, 2.0)],
)
def test_by_what_the_gradients_are_multiplied(loop, before, after):
    (seen,) = facts(traced(loop), "rescale")
    assert seen == {"optimizer": 0, "before": pytest.approx(before, rel=1e-4), "after": pytest.approx(after, rel=1e-4)}


@pytest.mark.parametrize("loop", [usual, clipped_twice, noisy_gradients])
def test_what_is_no_product_of_the_gradients_is_not_taken_for_one(loop):
    assert not facts(traced(loop), "rescale")


def test_who_unscaled_and_what_the_rates_are():
    assert facts(traced(scaled), "unscale") == [{"explicit": False}]
    trace = traced(decaying)
    assert facts(traced(scaled_and_clipped), "unscale") == [{"explicit": True}]
    changed = {"optimizer": 0, "group": 0, "before": 0.1, "after": 0.05, "at": ["step", "batch"]}
    assert facts(trace, "scheduler", step=1) == [changed]
    assert [one["rates"] for step in range(3) for one in facts(trace, "step", step)] == [[0.1], [0.05], [0.025]]


def test_validation_is_told_from_training():
    case = classifier()
    loader = DataLoader(blobs(32, seed=1), batch_size=16)
    with nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, val_loader=loader
    ) as inspector:
        case.run(1)
        case.model.eval()
        with torch.no_grad():
            for x, y in loader:
                case.loss_fn(case.model(x), y)
    last = [e for e in inspector.run.trace if e.step == 6]
    assert [(e.call, e.facts.get("role") or e.facts.get("phase")) for e in last] == [
        ("batch", "validation"), ("forward", "validation"), ("cross_entropy", "validation"),
    ] * 2  # fmt: skip
    assert (last[1].facts["training"], last[1].facts["grad_enabled"]) == (False, False)


def test_a_long_validation_does_not_crowd_out_the_training():
    case = classifier()
    loader = DataLoader(blobs(400, seed=1), batch_size=1)
    with nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, val_loader=loader
    ) as inspector:
        with torch.no_grad():
            for x, y in loader:
                case.loss_fn(case.model(x), y)
        case.run(1)
    first = [e for e in inspector.run.trace if e.step == 0]
    assert len(first) < 60
    assert first[-1].call == "step"


def test_a_plain_function_needs_no_loader():
    case = classifier()
    data = list(case.train_loader)
    with nni.watch(case.model, case.optimizer) as inspector:
        for x, y in data[:2]:
            usual(case, x, y)
    trace = list(inspector.run.trace)
    assert calls(trace, step=1) == STEP[1:]
    assert facts(trace, "zero_grad", step=1)[0]["at"] == ["step", "forward"]


def test_a_model_that_is_called_twice_and_accumulates():
    def loop(c, x, y):
        for half in (slice(8), slice(8, 16)):
            (c.loss_fn(c.model(x[half]), y[half]) / 2).backward()
        c.optimizer.step()
        c.optimizer.zero_grad()

    trace = traced(loop)
    assert calls(trace) == ["zero_grad", "batch", *["forward", "cross_entropy", "backward"] * 2, "step"]
    assert [f["index"] for f in facts(trace, "forward", step=1)] == [0, 1]


def test_optimizers_have_their_own_entries():
    model = mlp()
    optimizers = [torch.optim.SGD(model[0].parameters(), lr=0.1), torch.optim.SGD(model[2].parameters(), lr=0.2)]
    with nni.watch(model, optimizers) as inspector:
        for seed in range(2):
            x, y = blobs(16, seed=seed).tensors
            F.cross_entropy(model(x), y).backward()
            for optimizer in optimizers:
                optimizer.step()
            optimizers[1].zero_grad()
    trace = list(inspector.run.trace)
    steps = [(e.facts["optimizer"], e.facts["rates"]) for e in trace if e.call == "step"]
    assert steps == [(0, [0.1]), (1, [0.2])] * 2
    assert [e.facts["optimizer"] for e in trace if e.call == "zero_grad"] == [1]


def test_a_teacher_with_attention_runs_as_it_does_without_us():
    torch.manual_seed(0)
    teacher = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()

    def loop(c, x, y):
        with torch.no_grad():
            modes.append(torch.overrides.has_torch_function([x]))
            taught = teacher(x[:, None])[:, 0, :CLASSES].softmax(-1)
        c.optimizer.zero_grad()
        F.cross_entropy(c.model(x), taught).backward()
        c.optimizer.step()

    modes = []
    trace = traced(loop)
    assert modes == [False] * 3
    assert calls(trace) == STEP


def test_the_trace_is_kept_with_the_run(tmp_path):
    case = classifier()
    with nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, run=tmp_path / "a.sqlite"
    ) as inspector:
        case.run(1)
    kept = nni.open_run(tmp_path / "a.sqlite").trace
    assert [(e.step, e.call, dict(e.facts)) for e in kept] == [
        (e.step, e.call, dict(e.facts)) for e in inspector.run.trace
    ]
