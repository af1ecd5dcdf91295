"""What the probes measure, against the same numbers computed independently in a plain loop."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.utils.data import DataLoader

import nn_inspector as nni
from nn_inspector.probes import CallMode
from nn_inspector.stats import summarize
from tests.trainings import CLASSES, FEATURES, Case, blobs, classifier, mlp


def watch(case, **options):
    return nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, **{"every": 1, **options}
    )


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop])
def test_gradients_updates_and_rates(optimizer):
    model, twin = mlp(), mlp()
    ours = Case(model, optimizer(model.parameters(), lr=0.01, weight_decay=0.1), nn.CrossEntropyLoss(), None)
    theirs = optimizer(twin.parameters(), lr=0.01, weight_decay=0.1)
    expected = {name: [] for name in ("gradient_norm", "gradient_sum", "weight_norm", "update_norm", "update_ratio")}
    with watch(ours, probes="full") as inspector:
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
    with watch(case) as inspector:
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
    with watch(case) as inspector:
        case.loss_fn(model(x), x).backward()
        case.optimizer.step()
    assert inspector.run.last("activation_saturated", "1") == pytest.approx(share, abs=0.01)


def test_an_in_place_activation_does_not_spoil_what_came_before():
    model = nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(inplace=True), nn.Linear(16, CLASSES))
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), None)
    x, y = blobs(16).tensors
    with watch(case) as inspector:
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
    with watch(case) as inspector:
        case.loss_fn(model(x), y).backward()
        case.optimizer.step()
    assert inspector.run.last("activation_spread", "one") == pytest.approx(both.std(correction=0).item(), rel=1e-5)


def test_not_a_number_is_counted_not_dropped():
    case = classifier()
    x, y = blobs(16).tensors
    x[3, 2] = math.nan
    with watch(case) as inspector:
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


@pytest.mark.parametrize(
    "loss_fn", [nn.CrossEntropyLoss(), F.cross_entropy, None], ids=["module", "function", "not given"]
)
@pytest.mark.parametrize("reduction", ["mean", "own mean"])
def test_the_loss_of_every_step_is_seen(loss_fn, reduction):
    case = classifier()
    expected = []
    with nni.watch(case.model, case.optimizer, loss_fn, train_loader=case.train_loader) as inspector:
        for _ in range(10):
            for x, y in case.train_loader:
                case.optimizer.zero_grad()
                loss = (loss_fn or F.cross_entropy)(case.model(x), y)
                if reduction == "own mean":
                    loss = (loss * 2).mean() / 2
                loss.backward()
                case.optimizer.step()
                expected.append(loss.item())
    assert inspector.run.series("loss", "train").values == pytest.approx(expected, rel=1e-6)


def test_a_formula_of_the_users_own_is_seen_at_backward():
    case = classifier()
    expected = []
    with nni.watch(case.model, case.optimizer, train_loader=case.train_loader) as inspector:
        for _ in range(8):
            for x, y in case.train_loader:
                case.optimizer.zero_grad()
                loss = ((case.model(x) - F.one_hot(y, CLASSES)) ** 2).mean()
                loss.backward()
                case.optimizer.step()
                expected.append(loss.item())
    assert inspector.run.series("loss", "train").values == pytest.approx(expected, rel=1e-6)


def test_a_loss_of_several_terms_is_their_total():
    case = classifier()
    with nni.watch(case.model, case.optimizer, train_loader=case.train_loader) as inspector:
        for x, y in case.train_loader:
            case.optimizer.zero_grad()
            output = case.model(x)
            loss = F.cross_entropy(output, y) + 0.5 * F.mse_loss(output, torch.zeros_like(output))
            loss.backward()
            case.optimizer.step()
    assert inspector.run.last("loss", "train") == pytest.approx(loss.item(), rel=1e-6)


def test_a_loss_over_several_batches_is_their_mean():
    case = classifier()
    losses = []
    with watch(case) as inspector:
        for _ in range(6):
            for index, (x, y) in enumerate(case.train_loader):
                loss = case.loss_fn(case.model(x), y) / 3
                loss.backward()
                losses.append(loss.item() * 3)
                if index % 3 == 2:
                    case.optimizer.step()
                    case.optimizer.zero_grad()
    expected = np.array(losses).reshape(-1, 3).mean(1)
    assert inspector.run.series("loss", "train").values == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("every", [1, 10])
def test_the_loss_of_another_network_does_not_mix_in(every):
    """A GAN of which the generator alone is watched: the discriminator's losses are not its own."""
    torch.manual_seed(0)
    generator, discriminator = nn.Linear(2, 8), nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))
    for_generator, for_discriminator = (torch.optim.SGD(m.parameters(), lr=0.1) for m in (generator, discriminator))
    judge, real, fake = F.binary_cross_entropy_with_logits, torch.ones(16, 1), torch.zeros(16, 1)
    losses = []
    with nni.watch(generator, for_generator, every=every) as inspector:
        for _ in range(45):
            made = generator(torch.randn(16, 2))
            for_discriminator.zero_grad()
            loss = judge(discriminator(torch.randn(16, 8) + 2), real) + judge(discriminator(made.detach()), fake)
            loss.backward()
            for_discriminator.step()
            for_generator.zero_grad()
            loss = judge(discriminator(made), real)
            loss.backward()
            for_generator.step()
            losses.append(loss.item())
    seen = inspector.run.series("loss", "train").values
    assert seen[1:] == pytest.approx(losses[1:], rel=1e-5)  # at the first step it is not known yet whose is whose


def test_a_loss_that_the_loop_reduces_is_what_backward_is_called_on():
    case = classifier()
    case.loss_fn = lambda output, target: F.cross_entropy(output, target, reduction="none").sum()
    with watch(case) as inspector:
        losses = case.run(1)
    assert inspector.run.series("loss", "train").values == pytest.approx(losses, rel=1e-5)
    assert inspector.run.sources("objective") == []


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


def test_an_evaluation_leaves_nothing_in_the_way_of_another_model():
    first, second = classifier(), classifier()
    first.loss_fn = second.loss_fn = F.cross_entropy
    a = nni.watch(first.model, first.optimizer, first.loss_fn, every=1)
    first.run(1)
    with torch.no_grad():
        first.model(blobs(4).tensors[0])
    b = nni.watch(second.model, second.optimizer, second.loss_fn, every=1)
    losses = second.run(1)
    assert b.run.series("loss", "train").values == pytest.approx(losses, rel=1e-5)
    assert b.problems == []
    a.detach()
    b.detach()
    assert torch.overrides._get_current_function_mode_stack() == []


def test_two_inspectors_share_a_loader():
    first, second = classifier(), classifier()
    second.train_loader = first.train_loader
    a, b = watch(first), watch(second)
    second.run(1)
    assert [len(i.run.epochs("train")) for i in (a, b)] == [1, 1]
    a.detach()
    second.run(1)
    assert [len(i.run.epochs("train")) for i in (a, b)] == [1, 2]
    b.detach()
    assert "_get_iterator" not in first.train_loader.__dict__


def test_validation_is_told_from_training_and_weighted_by_batch_size():
    case = classifier()
    data = blobs(50, seed=7)
    loader = DataLoader(data, batch_size=16)
    with nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, val_loader=loader
    ) as inspector:
        for _ in range(3):
            case.run(1)
            case.model.eval()
            with torch.no_grad():
                for x, y in loader:
                    case.loss_fn(case.model(x), y)
            case.model.train()
    with torch.no_grad():
        expected = F.cross_entropy(case.model(data.tensors[0]), data.tensors[1]).item()
    series = inspector.run.series("loss", "validation")
    assert series.steps.tolist() == [6, 12, 18]
    assert series.values[-1] == pytest.approx(expected, rel=1e-5)
    assert inspector.run.steps == 18
    assert inspector.run.last("training_mode", "validation") == 0
    assert inspector.run.last("training_mode", "train") == 1


def test_validation_without_no_grad_is_known_by_its_loader():
    case = classifier()
    loader = DataLoader(blobs(32, seed=7), batch_size=16)
    with nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, val_loader=loader
    ) as inspector:
        case.run(1)
        for x, y in loader:
            case.loss_fn(case.model(x), y)
        case.run(1)
    assert inspector.run.series("loss", "validation").steps.tolist() == [6]
    assert len(inspector.run.series("loss", "train")) == 12


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


def test_the_function_mode_goes_when_it_is_not_needed():
    """A loss module whose value is what backward() is called on needs no mode after the first steps."""
    plain, penalized = classifier(), classifier()
    modes = []
    for case, extra in ((plain, 0.0), (penalized, 0.1)):
        with watch(case, every="auto"):
            for _ in range(5):
                for x, y in case.train_loader:
                    case.optimizer.zero_grad()
                    loss = case.loss_fn(case.model(x), y)
                    modes.append(len(torch.overrides._get_current_function_mode_stack()) > 0)
                    (loss + extra * case.model[0].weight.sum() if extra else loss).backward()
                    case.optimizer.step()
    assert modes[:20] == [True] * 20
    assert modes[20:30] == [False] * 10
    assert modes[30:] == [True] * 30


def test_a_gradient_scaler_is_seen_through():
    case = classifier()
    twin = classifier()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    x, y = blobs(16).tensors
    twin.loss_fn(twin.model(x), y).backward()
    with watch(case) as inspector:
        scaler.scale(case.loss_fn(case.model(x), y)).backward()
        scaler.step(case.optimizer)
        scaler.update()
    expected = twin.model[0].weight.grad.norm().item()
    assert inspector.run.last("gradient_norm", "0.weight") == pytest.approx(expected, rel=1e-4)
    assert inspector.run.last("objective", "train") is None
    assert inspector.run.last("loss", "train") < 10


def test_parameters_replaced_after_watch_are_measured_under_their_names():
    case = classifier()
    with watch(case) as inspector:
        case.model[2] = nn.Linear(16, CLASSES)
        case.optimizer.param_groups[0]["params"][2:] = list(case.model[2].parameters())
        case.run(1)
    assert len(inspector.run.series("gradient_norm", "2.weight")) == 6
    assert inspector.problems == []


def test_frozen_and_unused_parameters_are_left_out():
    case = classifier()
    case.model[0].requires_grad_(False)
    with watch(case) as inspector:
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


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("zeroed_late", [False, True])
@pytest.mark.parametrize("loss_fn", [nn.CrossEntropyLoss(), F.cross_entropy], ids=["module", "function"])
@pytest.mark.parametrize("skipped", [0, 3, 35])
def test_the_loss_of_a_pass_that_no_step_follows_is_in_no_loss(loss_fn, skipped, zeroed_late, set_to_none):
    """A gradient scaler met Inf."""
    case = classifier()
    case.loss_fn = loss_fn
    scaler, losses = torch.amp.GradScaler("cpu", init_scale=2.0**10), []
    x, y = next(iter(case.train_loader))
    with nni.watch(case.model, case.optimizer, loss_fn, every=10) as inspector:
        for number in range(45):
            if not zeroed_late:
                case.optimizer.zero_grad(set_to_none=set_to_none)
            loss = loss_fn(case.model(x), y) * (100.0 if number == skipped else 1.0)
            if zeroed_late:
                case.optimizer.zero_grad(set_to_none=set_to_none)
            scaler.scale(loss).backward()
            if number == skipped:
                case.model[0].weight.grad.fill_(torch.inf)
            else:
                losses.append(loss.item())
            scaler.step(case.optimizer)
            scaler.update()
    assert inspector.run.steps == len(losses) == 44
    seen = inspector.run.series("loss", "train").values
    assert seen == pytest.approx(losses, rel=1e-5)
