"""What the probes measure, against the same numbers computed independently in a plain loop."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import nn_inspector as nni
from nn_inspector.probes import CallMode
from nn_inspector.stats import summarize
from tests.trainings import CLASSES, FEATURES, Case, blobs, classifier, mlp, watch


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop])
def test_gradients_updates_and_rates(optimizer):
    model, twin = mlp(), mlp()
    ours = Case(model, optimizer(model.parameters(), lr=0.01, weight_decay=0.1), nn.CrossEntropyLoss(), None)
    theirs = optimizer(twin.parameters(), lr=0.01, weight_decay=0.1)
    expected = {name: [] for name in ("gradient_norm", "gradient_sum", "weight_norm", "update_norm", "update_ratio")}
    with watch(ours, every=1, probes="full") as inspector:
        for seed in range(4):
            x, y = blobs(16, seed=seed).tensors
            ours.optimizer.zero_grad()
            ours.loss_fn(model(x), y).backward()
            ours.optimizer.step()
            theirs.zero_grad()
            ours.loss_fn.forward(twin(x), y).backward()
            before = twin[0].weight.detach().double().clone()
            gradient = twin[0].weight.grad.double()
            theirs.step()
            update = twin[0].weight.detach().double() - before
            expected["gradient_norm"].append(gradient.norm().item())
            expected["gradient_sum"].append(gradient.sum().item())
            expected["weight_norm"].append(before.norm().item())
            expected["update_norm"].append(update.norm().item())
            expected["update_ratio"].append((update.norm() / before.norm()).item())
    for quantity, values in expected.items():
        assert inspector.run.series(quantity, "0.weight").values == pytest.approx(values, rel=1e-4, abs=1e-6), quantity
    assert inspector.run.last("learning_rate", "optimizer 0 group 0") == 0.01


def test_activations_agree_with_a_direct_look():
    case = classifier()
    x, y = blobs(16).tensors
    outputs = [case.model[:depth](x).detach() for depth in (1, 2, 3)]
    with watch(case, every=1) as inspector:
        case.loss_fn(case.model(x), y).backward()
        case.optimizer.step()
    for name, output in zip(("0", "1", "2"), outputs, strict=True):
        reference = summarize(output)
        assert inspector.run.last("activation_mean", name) == pytest.approx(reference.mean, abs=1e-6)
        assert inspector.run.last("activation_spread", name) == pytest.approx(reference.spread, rel=1e-5)
        assert inspector.run.last("activation_zeros", name) == pytest.approx(reference.zero_share, abs=1e-6)
        assert inspector.run.last_vector("activation_histogram", name).tolist() == reference.histogram.tolist()
    assert inspector.run.last("activation_zeros", "1") > 0.2
    assert inspector.run.last("activation_saturated", "1") is None


@pytest.mark.parametrize(
    ("activation", "slope"),
    [
        (nn.Sigmoid(), lambda y: y * (1 - y)),
        (nn.Tanh(), lambda y: 1 - y**2),
        (nn.Softsign(), lambda y: (1 - y.abs()) ** 2),
    ],
)
def test_saturation_is_where_the_slope_is_below_one_hundredth(activation, slope):
    x = torch.linspace(-30, 30, 2000)[:, None]
    model = nn.Sequential(nn.Linear(1, 1), activation)
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.zero_()
    share = (slope(activation(x)) < 1e-2).float().mean().item()
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.MSELoss(), None)
    with watch(case, every=1) as inspector:
        case.loss_fn(model(x), x).backward()
        case.optimizer.step()
    assert inspector.run.last("activation_saturated", "1") == pytest.approx(share, abs=0.01)


def test_an_in_place_activation_does_not_spoil_what_came_before():
    model = nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(inplace=True), nn.Linear(16, CLASSES))
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), None)
    x, y = blobs(16).tensors
    with watch(case, every=1) as inspector:
        case.loss_fn(model(x), y).backward()
        case.optimizer.step()
    assert inspector.run.last("activation_zeros", "0") == 0
    assert inspector.run.last("activation_zeros", "1") > 0.2


def test_a_module_used_several_times_is_described_over_all_its_uses():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.head = nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, CLASSES)

        def forward(self, x):
            return self.head(self.one(self.one(x)))

    model = Twice()
    x, y = blobs(16).tensors
    both = torch.cat([model.one(x), model.one(model.one(x))]).detach()
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), None)
    with watch(case, every=1) as inspector:
        case.loss_fn(model(x), y).backward()
        case.optimizer.step()
    assert inspector.run.last("activation_spread", "one") == pytest.approx(both.std(correction=0).item(), rel=1e-5)


def test_not_a_number_is_counted_not_dropped():
    case = classifier()
    x, y = blobs(16).tensors
    x[3, 2] = math.nan
    with watch(case, every=1) as inspector:
        case.loss_fn(case.model(x), y).backward()
        case.optimizer.step()
    assert inspector.run.last("activation_nonfinite", "0") == pytest.approx(1 / 16)
    assert math.isnan(inspector.run.last("loss", "train"))
    assert math.isnan(inspector.run.last("gradient_norm", "0.weight"))


class Outputs(nn.Module):
    """Returns what modules return in the wild."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.inner = kind, nn.LSTM(2, 4, batch_first=True)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x):
        x = x.reshape(len(x), -1, 2)
        if self.kind == "packed":
            packed = pack_padded_sequence(x, torch.full((len(x),), x.shape[1]), batch_first=True)
            hidden = self.inner(packed)[1][0][-1]
        else:
            hidden = self.inner(x)[0][:, -1]
        output = self.head(hidden)
        return {"dict": {"logits": output}, "tuple": (output, None), "packed": output, "tensor": output}[self.kind]


@pytest.mark.parametrize("kind", ["tensor", "tuple", "dict", "packed"])
def test_outputs_of_any_form_are_measured(kind):
    model = Outputs(kind)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = blobs(16).tensors
    with nni.watch(model, optimizer, every=1) as inspector:
        output = model(x)
        output = {"dict": lambda: output["logits"], "tuple": lambda: output[0]}.get(kind, lambda: output)()
        F.cross_entropy(output, y).backward()
        optimizer.step()
    assert set(inspector.run.sources("activation_mean")) == {"inner", "head"}
    assert isinstance(pack_padded_sequence(torch.zeros(1, 1), [1], batch_first=True), PackedSequence)


def test_arguments_of_a_loss_are_known_by_name_however_they_were_passed():
    calls = []
    weight = torch.ones(CLASSES)
    with CallMode(calls.append):
        F.cross_entropy(torch.zeros(2, CLASSES), torch.zeros(2, dtype=torch.int64), weight)
        F.cross_entropy(target=torch.zeros(2, dtype=torch.int64), input=torch.zeros(2, CLASSES), reduction="sum")
        F.gaussian_nll_loss(torch.zeros(2), torch.zeros(2), torch.ones(2))
    assert calls[0].options["weight"] is weight
    assert calls[1].options["reduction"] == "sum"
    assert calls[2].options["var"].tolist() == [1.0, 1.0]
    assert not any({"input", "target"} & set(call.options) for call in calls)
    assert all(call.prediction.shape[0] == call.target.shape[0] == 2 for call in calls)


def test_two_inspectors_share_a_loader():
    first, second = classifier(), classifier()
    second.train_loader = first.train_loader
    a, b = watch(first, every=1), watch(second, every=1)
    second.run(1)
    assert [len(i.run.epochs("train")) for i in (a, b)] == [1, 1]
    a.detach()
    second.run(1)
    assert [len(i.run.epochs("train")) for i in (a, b)] == [1, 2]
    b.detach()
    assert "_get_iterator" not in first.train_loader.__dict__


def test_the_first_steps_are_traced_call_by_call():
    case = classifier()
    with watch(case, every="auto") as inspector:
        case.run(5)
    trace = list(inspector.run.trace)
    first = [(entry.call, dict(entry.facts)) for entry in trace if entry.step == 0 and entry.call != "module"]
    assert [call for call, _ in first] == ["batch", "forward", "cross_entropy", "backward", "step"]
    facts = first[2][1]
    assert facts["prediction_shape"] == [16, CLASSES]
    assert facts["target_dtype"] == "torch.int64"
    assert (facts["reduction"], facts["label_smoothing"], facts["weighted"]) == ("mean", 0.0, False)
    assert first[1][1] == {
        "phase": "train",
        "training": True,
        "grad_enabled": True,
        "index": 0,
        "input_shape": [16, FEATURES],
        "input_dtype": "torch.float32",
    }
    assert max(entry.step for entry in trace) == 19
    order = [(entry.step, entry.facts["module"]) for entry in trace if entry.call == "module"]
    assert order == [(step, name) for step in (0, 1) for name in ("0", "1", "2")]
    shapes = [entry.facts["output_shape"] for entry in trace if entry.call == "module"]
    assert shapes[:3] == [[16, 16], [16, 16], [16, CLASSES]]


def test_parameters_replaced_after_watch_are_measured_under_their_names():
    case = classifier()
    with watch(case, every=1) as inspector:
        case.model[2] = nn.Linear(16, CLASSES)
        case.optimizer.param_groups[0]["params"][2:] = list(case.model[2].parameters())
        case.run(1)
    assert len(inspector.run.series("gradient_norm", "2.weight")) == 6
    assert inspector.problems == []


def test_frozen_and_unused_parameters_are_left_out():
    case = classifier()
    case.model[0].requires_grad_(False)
    with watch(case, every=1) as inspector:
        case.run(1)
    assert inspector.run.sources("gradient_norm") == ["2.weight", "2.bias"]
    assert inspector.run.last("update_norm", "0.weight") == 0


def test_a_lazy_model_is_measured_once_it_has_its_shapes():
    model = nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(CLASSES))
    x, y = blobs(16).tensors
    model.train()
    with nni.watch(model, loss_fn=nn.CrossEntropyLoss(), every=1) as inspector:
        model(x)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            inspector.training.loss_fn(model(x), y).backward()
            optimizer.step()
    assert inspector.run.steps == 3
    assert inspector.run.last("activation_mean", "0") is not None
