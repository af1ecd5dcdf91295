"""What the trace of the first steps says about loops of all kinds."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.probes import LossCall
from nn_inspector.probes.loss_numbers import loss_numbers
from tests.trainings import CLASSES, FEATURES, Case, blobs, classifier, mlp


def traced(loop, case=None, steps=3, **options):
    """The entries of a few steps of a loop: `loop(case, x, y)` is one step."""
    case = case or classifier()
    with nni.watch(
        case.model, case.optimizer, case.loss_fn, **{"train_loader": case.train_loader, **options}
    ) as inspector:
        for number, (x, y) in enumerate(case.train_loader):
            if number == steps:
                break
            loop(case, x, y)
    assert inspector.problems == []
    assert torch.overrides._get_current_function_mode_stack() == []
    return list(inspector.run.trace)


def calls(trace, *left_out, step=1):
    return [e.call for e in trace if e.step == step and e.call not in ("module", "function", *left_out)]


def facts(trace, call, step=0):
    return [dict(entry.facts) for entry in trace if entry.call == call and entry.step == step]


def functions(trace, step=0):
    return [(f["name"], f["shapes"], f["of"], f["result_shape"]) for f in facts(trace, "function", step)]


def usual(c, x, y):
    c.optimizer.zero_grad()
    loss = c.loss_fn(c.model(x), y)
    loss.backward()
    c.optimizer.step()


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


STEP = ["batch", "zero_grad", "forward", "cross_entropy", "backward", "step"]

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


# losses


def step_of(loss):
    def loop(c, x, y):
        c.optimizer.zero_grad()
        loss(c, x, y).backward()
        c.optimizer.step()

    return loop


def test_numbers_of_prediction_and_target():
    trace = traced(step_of(lambda c, x, y: F.cross_entropy(F.softmax(c.model(x), -1), y, weight=torch.ones(CLASSES))))
    found = facts(trace, "cross_entropy")[0]
    assert found["weighted"] is True
    assert found["result_shape"] == []
    assert 1 < found["value"] < 2
    assert 0 <= found["prediction_low"] < found["prediction_mean"] < found["prediction_high"] <= 1
    assert found["prediction_mean"] == pytest.approx(1 / CLASSES)
    assert found["prediction_spread"] > 0
    assert found["prediction_finite"] is found["target_finite"] is True
    assert (found["target_low"], found["target_high"]) == (0, CLASSES - 1)
    assert (found["target_whole"], found["target_distinct"], found["same_shape"]) == (True, CLASSES, False)
    assert found["prediction_origin"] == ["softmax:1", "linear"]
    assert found["rows_sum_mean"] == pytest.approx(1)
    assert found["rows_sum_off"] < 1e-5
    assert found["sums_to_one"] == [1]
    assert 0 < found["between_items"] < 1
    assert facts(trace, "backward")[0]["origin"] == ["cross_entropy"]


@pytest.mark.parametrize(("dim", "shape", "axes"), [(1, (2, 4, 3), [1]), (2, (2, 4, 3), [2]), (0, (2, 4), [0])])
def test_logarithms_add_up_along_the_axis_of_their_softmax(dim, shape, axes):
    scores = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    target = torch.zeros(shape[:1] + shape[2:], dtype=torch.long)
    for prediction, wanted in ((scores.log_softmax(dim), axes), (scores, [])):
        call = LossCall("nll_loss", prediction, target, {}, prediction.mean())
        assert loss_numbers(call)["sums_to_one"] == wanted


def test_numbers_that_are_not_finite_and_targets_that_are_not_whole():
    def loss(c, x, y):
        return F.mse_loss(c.model(x) * torch.tensor([1.0, 1.0, 1.0, float("inf")]), F.one_hot(y, CLASSES) + 0.5)

    found = facts(traced(step_of(loss), steps=1), "mse_loss")[0]
    assert found["prediction_finite"] is False
    assert found["prediction_high"] < 100
    assert (found["target_whole"], found["target_distinct"], found["same_shape"]) == (False, 2, True)
    assert found["value"] == float("inf")


@pytest.mark.parametrize(
    ("change", "sign", "names"),
    [
        (lambda loss: loss, 1, ["cross_entropy"]),
        (lambda loss: loss / 4, 1, ["div", "cross_entropy"]),
        (lambda loss: -loss, -1, ["neg", "cross_entropy"]),
        (lambda loss: -0.5 * loss, -1, ["mul", "cross_entropy"]),
        (lambda loss: -loss.neg(), 1, ["neg", "neg", "cross_entropy"]),
        (lambda loss: loss + 1, 0, ["add", "cross_entropy"]),
        (lambda loss: loss.square(), 0, ["pow", "cross_entropy"]),
    ],
)
def test_the_sign_of_the_objective(change, sign, names):
    trace = traced(step_of(lambda c, x, y: change(F.cross_entropy(c.model(x), y))), steps=1)
    found = facts(trace, "backward")[0]
    assert (found["sign"], found["origin"]) == (sign, names)
    assert found["value"] is not None


def test_the_sign_of_a_loss_that_the_loop_reduces():
    def loss(c, x, y):
        return -F.cross_entropy(c.model(x), y, reduction="none").mean()

    assert facts(traced(step_of(loss), steps=1), "backward")[0]["sign"] == -1


def test_the_costly_facts_end_after_three_steps():
    trace = traced(usual, steps=6)
    assert ["value" in facts(trace, "backward", step)[0] for step in range(6)] == [True] * 3 + [False] * 3
    assert ["prediction_mean" in facts(trace, "cross_entropy", step)[0] for step in range(5)] == [True] * 3 + [
        False
    ] * 2


# functions between the model and backward()


def regression():
    data = TensorDataset(torch.randn(64, FEATURES), torch.randn(64))
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(), nn.Linear(8, 1))
    return Case(model, torch.optim.SGD(model.parameters(), lr=0.01), nn.MSELoss(), DataLoader(data, batch_size=16))


FUNCTIONS = {
    "a loss by hand that broadcasts": (
        lambda c, x, y: ((c.model(x) - y) ** 2).mean(),
        [
            ("sub", ["16x1", "16"], ["prediction", "target"], [16, 16]),
            ("pow", ["16x16"], ["prediction+target"], [16, 16]),
            ("mean", ["16x16"], ["prediction+target"], []),
        ],
    ),
    "cast and squeezed": (
        lambda c, x, y: F.mse_loss(c.model(x).squeeze(-1), y.double().float()),
        [
            ("squeeze", ["16x1"], ["prediction"], [16]),
            ("double", ["16"], ["target"], [16]),
            ("float", ["16"], ["target"], [16]),
        ],
    ),
    "detached": (
        lambda c, x, y: F.mse_loss(c.model(x).detach()[:, 0], y) + c.model[2].bias.sum(),
        [
            ("detach", ["16x1"], ["prediction"], [16, 1]),
            ("getitem", ["16x1"], ["prediction"], [16]),
            ("sum", ["1"], ["parameters"], []),
            ("add", ["scalar", "scalar"], ["prediction+target", "parameters"], []),
        ],
    ),
    "through .data": (
        lambda c, x, y: F.mse_loss(c.model(x).data.view(-1), y) + c.model[2].bias.sum(),
        [
            ("data", ["16x1"], ["prediction"], [16, 1]),
            ("view", ["16x1"], ["prediction"], [16]),
            ("sum", ["1"], ["parameters"], []),
            ("add", ["scalar", "scalar"], ["prediction+target", "parameters"], []),
        ],
    ),
    "with item()": (
        lambda c, x, y: c.model(x).sum() / c.model(x).sum().item(),
        [
            ("sum", ["16x1"], ["prediction"], []),
            ("sum", ["16x1"], ["prediction"], []),
            ("item", ["scalar"], ["prediction"], None),
            ("div", ["scalar"], ["prediction"], []),
        ],
    ),
    "the input once more": (
        lambda c, x, y: (c.model(x) - x.mean(1, keepdim=True)).abs().sum(),
        [
            ("mean", ["16x8"], ["input"], [16, 1]),
            ("sub", ["16x1", "16x1"], ["prediction", "input"], [16, 1]),
            ("abs", ["16x1"], ["input+prediction"], [16, 1]),
            ("sum", ["16x1"], ["input+prediction"], []),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("as_list", [False, True], ids=["loader", "list"])
def test_functions_after_the_model(name, as_list):
    loss, expected = FUNCTIONS[name]
    case = regression()
    if as_list:
        case.train_loader = list(case.train_loader)
    assert functions(traced(step_of(loss), case)) == expected


@pytest.mark.parametrize(
    ("loss", "dims"),
    [
        (lambda c, x, y: c.model(x).softmax(0)[:, 0].sum(), [("softmax", 0), ("getitem", None), ("sum", None)]),
        (lambda c, x, y: F.softmax(c.model(x), dim=-1).log().sum(-1).mean(), [("softmax", 1), ("log", None), ("sum", 1), ("mean", None)]),
        (lambda c, x, y: torch.stack([c.model(x).mean()] * 2, -1).sum((0,)), [("mean", None), ("stack", 0), ("sum", 0)]),
    ],
)  # fmt: skip
def test_the_axis_of_a_function(loss, dims):
    trace = traced(step_of(loss), steps=1)
    assert [(f["name"], f["dim"]) for f in facts(trace, "function")] == dims


def test_penalties_over_many_parameters_do_not_fill_the_trace():
    model = nn.Sequential(*(nn.Linear(FEATURES, FEATURES) for _ in range(40)), nn.Linear(FEATURES, CLASSES))
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.01), None, classifier().train_loader)

    def loss(c, x, y):
        return F.cross_entropy(c.model(x), y) + sum(p.abs().sum() for p in c.model.parameters())

    names = [f["name"] for f in facts(traced(step_of(loss), case, steps=1), "function")]
    assert len(names) == 21
    assert names[-1] == "add"


def test_a_column_that_meets_a_row_is_noted_whatever_comes_before_it():
    def loss(c, x, y):
        output = c.model(x)
        other = output[:, 0]
        for _ in range(700):
            other = other.clone()
        return F.cross_entropy(output, y) + sum((output[:, :1] - other).abs().mean() for _ in range(30))

    found = functions(traced(step_of(loss), steps=1))
    spread = [one for one in found if one[0] == "sub"]
    assert len(found) == 200 + 20
    assert spread == [("sub", ["16x1", "16"], ["prediction", "prediction"], [16, 16])] * 20


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
