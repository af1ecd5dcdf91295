"""Each quantity of the full set of probes, against the same number computed in an independent way."""

import math
import time
from collections import OrderedDict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import nn_inspector as nni
from nn_inspector.stats import summarize
from tests.trainings import CLASSES, FEATURES, Case, blobs, classifier, mlp


def watch(model, optimizer, loss_fn=None, **options):
    return nni.watch(model, optimizer, loss_fn, **{"every": 1, "probes": "full", **options})


def one_step(model, x, y, optimizer=None, loss_fn=F.cross_entropy):
    """Train one step under full watch; returns what was measured."""
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer) as inspector:
        loss_fn(model(x), y).backward()
        optimizer.step()
    assert inspector.problems == []
    return inspector.run


def gradient_at_outputs(model, names, x, y):
    """With retain_grad instead of hooks on gradients."""
    kept, handles = {}, []
    for name in names:

        def keep(module, args, output, name=name):
            output.retain_grad()
            kept[name] = output

        handles.append(model.get_submodule(name).register_forward_hook(keep))
    F.cross_entropy(model(x), y).backward()
    for handle in handles:
        handle.remove()
    return {name: output.grad for name, output in kept.items()}


def test_gradients_at_outputs():
    model, x, y = mlp(), *blobs(16).tensors
    run = one_step(model, x, y)
    for name, gradient in gradient_at_outputs(mlp(), ["0", "1", "2"], x, y).items():
        reference = summarize(gradient)
        assert run.last("activation_gradient_mean", name) == pytest.approx(reference.mean, abs=1e-8)
        assert run.last("activation_gradient_spread", name) == pytest.approx(reference.spread, rel=1e-4)
        assert run.last("activation_gradient_zeros", name) == pytest.approx((gradient == 0).float().mean().item())
        assert run.last("activation_gradient_norm", name) == pytest.approx(gradient.norm().item(), rel=1e-4)
        assert run.last("activation_gradient_nonfinite", name) == 0
        assert run.last_vector("activation_gradient_histogram", name).tolist() == reference.histogram.tolist()


def test_the_gradient_at_an_output_that_is_changed_in_place():
    def net(inplace):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(inplace=inplace), nn.Linear(16, CLASSES))

    x, y = blobs(16).tensors
    run = one_step(net(True), x, y)
    expected = gradient_at_outputs(net(False), ["0"], x, y)["0"]
    assert run.last("activation_gradient_norm", "0") == pytest.approx(expected.norm().item(), rel=1e-4)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_modules_are_counted_once(reentrant):
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp()

        def forward(self, x):
            if not self.training:
                return self.inner(x)
            return torch.utils.checkpoint.checkpoint(self.inner, x, use_reentrant=reentrant)

    x, y = blobs(16).tensors
    x.requires_grad_(reentrant)
    model = Checkpointed()
    run = one_step(model, x, y)
    reference = mlp()
    assert run.last_vector("activation_histogram", "inner.1").sum() == 16 * 16
    assert run.last_vector("unit_activity", "inner.1").shape == (16,)
    for name, gradient in gradient_at_outputs(reference, ["0", "1"], x, y).items():
        assert run.last("activation_gradient_norm", f"inner.{name}") == pytest.approx(gradient.norm().item(), rel=1e-4)


def test_weights_and_gradients_as_distributions():
    model, x, y = mlp(), *blobs(16).tensors
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    run = one_step(model, x, y)
    for name, parameter in model.named_parameters():
        for kind, tensor in (("weight", before[name]), ("gradient", parameter.grad)):
            reference = summarize(tensor)
            assert run.last(f"{kind}_mean", name) == pytest.approx(tensor.double().mean().item(), abs=1e-7)
            assert run.last(f"{kind}_spread", name) == pytest.approx(tensor.double().std(correction=0).item(), rel=1e-4)
            assert run.last_vector(f"{kind}_histogram", name).tolist() == reference.histogram.tolist()
        assert run.last("gradient_zeros", name) == pytest.approx((parameter.grad == 0).float().mean().item())


@pytest.mark.parametrize(
    ("make", "keys"),
    [
        (torch.optim.Adam, {"exp_avg", "exp_avg_sq"}),
        (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), {"momentum_buffer"}),
        (torch.optim.RMSprop, {"square_avg"}),
        (lambda p: torch.optim.SGD(p, lr=0.1), set()),
    ],
)
def test_what_the_optimizer_remembers(make, keys):
    model, x, y = mlp(), *blobs(16).tensors
    optimizer = make(model.parameters())
    run = one_step(model, x, y, optimizer)
    assert {source.split(":")[1] for source in run.sources("optimizer_moment_norm")} == keys
    for key in keys:
        expected = optimizer.state[model[0].weight][key].double().norm().item()
        assert run.last("optimizer_moment_norm", f"0.weight:{key}") == pytest.approx(expected, rel=1e-5)


def train(model, x, target, steps=12, **options):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    with watch(model, optimizer, **options) as inspector:
        for _ in range(steps):
            optimizer.zero_grad()
            (model(x) - target).square().mean().backward()
            optimizer.step()
    assert inspector.problems == []
    return inspector.run


@pytest.mark.parametrize("kind", ["linear", "convolution", "sequence", "sequence of channels", "lstm"])
def test_dead_units_by_the_layer_that_made_them(kind):
    """Units 1 and 3 of 8 are dead: their bias is far below zero."""
    torch.manual_seed(0)
    layer, x = {
        "linear": lambda: (nn.Linear(4, 8), torch.rand(6, 4)),
        "convolution": lambda: (nn.Conv2d(4, 8, 1), torch.rand(6, 4, 5, 5)),
        "sequence": lambda: (nn.Linear(4, 8), torch.rand(6, 5, 4)),
        "sequence of channels": lambda: (nn.Conv1d(4, 8, 1), torch.rand(6, 4, 5)),
        "lstm": lambda: (nn.Linear(4, 8), torch.rand(3, 7, 2, 4)),
    }[kind]()
    with torch.no_grad():
        layer.bias.fill_(5.0)
        layer.bias[[1, 3]] = -1000.0
    model = nn.Sequential(OrderedDict(layer=layer, act=nn.ReLU()))
    run = train(model, x, 1.0)
    assert run.last("dead_units", "act") == 2 / 8
    assert run.series("dead_units", "act").steps.tolist() == [9, 10, 11]
    assert np.flatnonzero(run.last_vector("unit_activity", "act") == 0).tolist() == [1, 3]
    assert run.last("saturated_units", "act") is None


def test_a_unit_that_wakes_once_in_the_window_is_not_dead():
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        model[0].bias.zero_()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with watch(model, optimizer) as inspector:
        for step in range(25):
            sign = -1.0 if step == 4 else 1.0
            model(sign * torch.ones(3, 1)).sum().backward()
            optimizer.step()
    dead = inspector.run.series("dead_units", "1")
    assert dict(zip(dead.steps.tolist(), dead.values.tolist(), strict=True)) == {
        step: (0.0 if step < 14 else 0.5) for step in range(9, 25)
    }


@pytest.mark.parametrize("activation", [nn.Sigmoid(), nn.Tanh(), nn.Hardtanh(), nn.Hardsigmoid(), nn.Softsign()])
def test_saturated_units(activation):
    model = nn.Sequential(nn.Linear(1, 4), activation)
    with torch.no_grad():
        model[0].weight.fill_(0.1)
        model[0].bias.copy_(torch.tensor([0.1, 900.0, -900.0, 0.2]))
    run = train(model, torch.rand(8, 1), 0.0)
    assert run.last("saturated_units", "1") == 0.5
    assert run.last("dead_units", "1") is None
    assert run.last_vector("unit_activity", "1").tolist() == [1.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Sigmoid()])
def test_a_unit_that_is_not_a_number_is_not_dead(activation):
    model = nn.Sequential(nn.Linear(1, 4), activation)
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([1.0, math.nan, -900.0, math.inf]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with nni.watch(model, optimizer, every=1) as inspector:
        for _ in range(10):
            model(torch.rand(8, 1)).sum().backward()
            optimizer.step()
    quantity, resting = ("dead_units", [2]) if isinstance(activation, nn.ReLU) else ("saturated_units", [2, 3])
    assert inspector.run.last(quantity, "1") == len(resting) / 4
    assert np.flatnonzero(inspector.run.last_vector("unit_activity", "1") == 0).tolist() == resting


def test_many_units_are_shown_by_some_of_them():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3000), nn.ReLU())
    with torch.no_grad():
        model[0].bias[:1500] = -100.0
    run = train(model, torch.rand(4, 2), 1.0)
    assert run.last_vector("unit_activity", "1").shape == (256,)
    assert run.last("dead_units", "1") == pytest.approx(0.5 + 0.5 * 0.25, abs=0.12)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("form", ["batch first", "time first", "no batch", "packed", "short"])
def test_hidden_norms_along_the_sequence(kind, form):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.cell = kind(3, 5, batch_first=form != "time first")

        def forward(self, x):
            self.output = self.cell(x)[0]
            return self.output.data if form == "packed" else self.output

    lengths = [31, 20, 7]
    x = {"no batch": torch.randn(31, 3), "short": torch.randn(4, 2, 3)}.get(form, torch.randn(3, 31, 3))
    given = x.transpose(0, 1) if form == "time first" else x
    if form == "packed":
        given = pack_padded_sequence(x, lengths, batch_first=True)
    run = train(Net(), given, 0.0, steps=1)
    twin = Net()
    expected = []
    time = 2 if form == "short" else 31
    for place in np.linspace(0, time - 1, 16):
        t, norms = round(place), []
        for item in range(1 if form == "no batch" else len(x)):
            sequence = x if form == "no batch" else x[item]
            if form == "packed" and t >= lengths[item]:
                continue
            norms.append(twin.cell(sequence)[0][t].norm().item())
        expected.append(sum(norms) / len(norms))
    assert run.last_vector("hidden_norm", "cell") == pytest.approx(np.array(expected), rel=1e-4)


def entropy(weights, allowed):
    """Query by query, in plain Python."""
    values = []
    for row, open_keys in zip(
        weights.reshape(-1, weights.shape[-1]), allowed.reshape(-1, allowed.shape[-1]), strict=True
    ):
        keys = int(open_keys.sum())
        if keys > 1:
            values.append(-sum(w * math.log(w) for w in row.tolist() if w > 0) / math.log(keys))
    return sum(values) / len(values)


@pytest.mark.parametrize("mask", ["none", "bool", "causal numbers", "by head", "padding", "both"])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("other_sizes", [False, True])
def test_attention_entropy(mask, batch_first, other_sizes):
    torch.manual_seed(0)
    batch, length, heads = 3, 6, 2
    sizes = {"kdim": 5, "vdim": 7} if other_sizes else {}
    attention = nn.MultiheadAttention(8, heads, dropout=0.5, batch_first=batch_first, **sizes)
    query = 3 * torch.randn(batch, length, 8)
    key, value = (3 * torch.randn(batch, length, 5), torch.randn(batch, length, 7)) if other_sizes else (query, query)
    causal = torch.ones(length, length, dtype=torch.bool).triu(1)
    padding = torch.zeros(batch, length, dtype=torch.bool)
    padding[0, 4:] = True
    options, closed = {}, torch.zeros(batch, heads, length, length, dtype=torch.bool)
    if mask in ("bool", "both"):
        options["attn_mask"], closed = causal, closed | causal
    if mask == "causal numbers":
        options["attn_mask"] = torch.zeros(length, length).masked_fill(causal, -math.inf)
        closed = closed | causal
    if mask == "by head":
        by_head = causal.repeat(batch * heads, 1, 1)
        by_head[0] = False
        options["attn_mask"] = by_head
        closed = by_head.view(batch, heads, length, length)
    if mask in ("padding", "both"):
        options["key_padding_mask"], closed = padding, closed | padding[:, None, None]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention, self.head = attention, nn.Linear(8, 1)

        def forward(self, *inputs):
            return self.head(self.attention(*inputs, **options)[0])

    given = [part if batch_first else part.transpose(0, 1) for part in (query, key, value)]
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    attention.eval()
    _, weights = attention(*given, **options, average_attn_weights=False)
    attention.train()
    with watch(model, optimizer) as inspector:
        model(*given).square().mean().backward()
        optimizer.step()
    assert inspector.problems == []
    found = inspector.run.last("attention_entropy", "attention")
    assert found == pytest.approx(entropy(weights.detach(), ~closed), abs=1e-5)


def test_attention_that_looks_at_one_thing_and_at_everything():
    found = []
    for scale in (0.0, 1e4):
        attention = nn.MultiheadAttention(4, 1, batch_first=True)
        with torch.no_grad():
            attention.in_proj_weight.copy_(torch.eye(4).repeat(3, 1) * scale)
        x = torch.eye(4)[None].repeat(9, 40, 1)[:, :4]
        found.append(train(_Only(attention), x, 0.0, steps=1).last("attention_entropy", "attention"))
    assert found == pytest.approx([1.0, 0.0], abs=1e-4)


class _Only(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def forward(self, x):
        return self.attention(x, x, x)[0]


def test_time_memory_and_waiting():
    class Slow(torch.utils.data.Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            end = time.perf_counter() + 0.002
            while time.perf_counter() < end:
                pass
            return torch.ones(FEATURES), 0

    model = mlp()
    case = Case(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        nn.CrossEntropyLoss(),
        torch.utils.data.DataLoader(Slow(), batch_size=2),
    )
    with watch(model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        begin = time.perf_counter()
        case.run(1)
        elapsed = time.perf_counter() - begin
    run = inspector.run
    assert run.series("step_seconds", "train").steps.tolist() == [1, 2, 3]
    assert run.series("data_seconds", "train").low.min() > 0.004
    assert (run.series("data_seconds", "train").values <= run.series("step_seconds", "train").values).all()
    assert run.series("step_seconds", "train").values.sum() < elapsed
    assert run.last("memory_bytes", "process") > 2**24
    assert len(run.series("memory_bytes", "process")) <= 1 + elapsed


def test_a_pause_is_no_step(monkeypatch):
    case, clock, offset = classifier(), time.perf_counter, [0.0]
    monkeypatch.setattr("nn_inspector.probes.timing.time.perf_counter", lambda: clock() + offset[0])
    with watch(case.model, case.optimizer, case.loss_fn) as inspector:
        case.run(1)
        inspector.settle()
        offset[0] += 3600
        case.run(1)
    assert len(inspector.run.series("step_seconds", "train")) == 10
    assert inspector.run.series("step_seconds", "train").high.max() < 600


@pytest.mark.parametrize("where", [7, 1_000_001])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_value_that_is_not_finite_is_never_missed(where, value):
    class Spoiled(nn.Module):
        def forward(self, x):
            x = x.repeat(1, 2**17 // FEATURES)
            x = x.clone()
            x.view(-1)[where] = value
            return x

    model = nn.Sequential(nn.Linear(FEATURES, FEATURES), Spoiled())
    x = blobs(16).tensors[0]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer, every=1) as inspector:
        model(x).mean().backward()
        optimizer.step()
    share = inspector.run.last("activation_nonfinite", "1")
    assert share >= 1 / (16 * 2**17)
    assert inspector.run.last("activation_nonfinite", "0") == 0


def test_numbers_of_processes_add_up():
    """What two processes measured of their halves of a batch is, added up, what one measures of the whole."""
    from nn_inspector.probes import Recorder, Schedule, one_by_one
    from nn_inspector.probes.distributions import put_distributions
    from nn_inspector.probes.samples import Samples

    values = torch.randn(2, 500) + 3
    found = []
    for part in (values[0], values[1], values):
        recorder = Recorder(Schedule(), found.extend, print)
        samples = Samples(part.device, 1)
        samples.add("layer", part)
        put_distributions(recorder, "activation", ("mean", "spread", "histogram"), samples.take())
        (queued,) = recorder._queue
        assert queued.merged == "sum"
        found.append((queued.pack(queued.values.double().numpy()), queued.read))
    (first, read), (second, _), (whole, _) = found
    merged = [m.value for m in one_by_one(read(first + second))]
    expected = [m.value for m in one_by_one(read(whole))]
    assert merged[:2] == pytest.approx(expected[:2], rel=1e-5)
    assert merged[2].tolist() == expected[2].tolist()


@pytest.mark.parametrize(
    ("dtype", "factor"), [(torch.float32, 1e22), (torch.float32, 1e-28), (torch.float64, 1e60), (torch.float64, 1e-60)]
)
def test_gradients_of_any_magnitude_are_told_as_they_are(dtype, factor):
    model = nn.Sequential(nn.Linear(FEATURES, 4), nn.Tanh(), nn.Linear(4, 1)).to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with nni.watch(model, optimizer, every=1, probes="full") as inspector:
        for _ in range(2):
            optimizer.zero_grad()
            (model(blobs(16).tensors[0].to(dtype)).mean() * factor).backward()
            optimizer.step()
    run = inspector.run
    for name, parameter in model.named_parameters():
        gradient = (parameter.grad.double() / factor).norm().item() * factor
        assert run.series("gradient_norm", name).values == pytest.approx([gradient] * 2, rel=1e-5, abs=0)
    assert run.nonfinite is None


def test_finite_outputs_whose_sum_is_beyond_the_range_are_finite():
    model = nn.Sequential(nn.Linear(FEATURES, 4096), nn.Linear(4096, 1))
    with torch.no_grad():
        model[0].weight.fill_(0.0)
        model[0].bias.fill_(1e35)
        model[1].weight.fill_(1e-38)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with nni.watch(model, optimizer, every=1) as inspector:
        model(blobs(16).tensors[0]).mean().backward()
        optimizer.step()
    assert inspector.run.last("activation_nonfinite", "0") == 0
    assert inspector.run.last("activation_mean", "0") == pytest.approx(1e35)
    assert inspector.run.nonfinite is None


def _train_one(c, *, clear=True):
    x, y = next(iter(c.train_loader))
    if clear:
        c.optimizer.zero_grad()
    loss = c.loss_fn(c.model(x), y)
    loss.backward()
    c.optimizer.step()


def test_kept_gradients_are_looked_at_in_measured_steps_alone_where_none_are_kept():
    c = classifier()
    with nni.watch(c.model, c.optimizer, c.loss_fn, every=10) as inspector:
        for _ in range(61):
            _train_one(c)
        assert not any(p._backward_hooks for p in c.model.parameters())
        assert inspector.problems == []
    steps = inspector.run.series("kept_gradient", "optimizer 0").steps.tolist()
    assert steps[:20] == list(range(1, 21))
    assert steps[-2:] == [50, 60]
    assert len(inspector.run.series("loss", "train")) == 61


def test_a_kept_gradient_is_seen_again_at_each_step():
    """From the first measured step on in which one is kept."""
    c = classifier()
    with nni.watch(c.model, c.optimizer, c.loss_fn, every=10) as inspector:
        for step in range(90):
            _train_one(c, clear=step < 45)
    kept = inspector.run.series("kept_gradient", "optimizer 0")
    assert kept.steps.tolist()[-40:] == list(range(50, 90))
    assert kept.values[-40:].tolist() == [1.0] * 40
