"""Each quantity of the full set of probes, against the same number computed in an independent way."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nn_inspector.stats import summarize
from tests.probes.closely import closely_watched
from tests.trainings import CLASSES, FEATURES, blobs, mlp


def one_step(model, x, y, optimizer=None, loss_fn=F.cross_entropy):
    """Train one step under full watch; returns what was measured."""
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    with closely_watched(model, optimizer) as inspector:
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
