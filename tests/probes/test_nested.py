"""Sequences of different lengths in one nested tensor: they are described by the elements that they have."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nn_inspector as nni
from nn_inspector.probes.lengths import find_lengths
from nn_inspector.stats import is_dense, norms, real_values, shape_of, summarize
from tests.trainings import CLASSES

LAYOUTS = [torch.strided, torch.jagged]
LENGTHS = (2, 3, 5, 1)
FEATURES = 4

pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")


class OverItems(nn.Module):
    """Computes with nested tensors from its first layer to its last."""

    def __init__(self):
        super().__init__()
        self.first, self.act, self.last = nn.Linear(FEATURES, 8), nn.ReLU(), nn.Linear(8, CLASSES)

    def forward(self, x):
        return torch.nested.to_padded_tensor(self.last(self.act(self.first(x))), 0.0).sum(1)


def nested(layout, seed=0):
    torch.manual_seed(seed)
    return torch.nested.nested_tensor([torch.randn(length, FEATURES) for length in LENGTHS], layout=layout)


def batches(layout):
    return [(nested(layout, seed), torch.tensor([0, 1, 2, 0])) for seed in range(5)]


def train(layout, watch=None, between=lambda inspector: None):
    torch.manual_seed(0)
    model = OverItems()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    data = batches(layout)
    inspector = watch(model, optimizer, data) if watch else None
    losses = []
    for x, y in data:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    between(inspector)
    if inspector is not None:
        inspector.detach()
    return losses, [p.detach().clone() for p in model.parameters()], inspector


def closely(model, optimizer, data):
    return nni.watch(model, optimizer, train_loader=data, every=1, probes="full", keep_samples=True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_training_on_nested_tensors(layout):
    losses, parameters, _ = train(layout)
    watched_losses, watched_parameters, inspector = train(layout, closely)
    assert watched_losses == losses
    assert all(map(torch.equal, watched_parameters, parameters))
    assert inspector.problems == []
    torch.manual_seed(0)
    model = OverItems()
    together = torch.cat(list(nested(layout).unbind()))
    expected = summarize(model.first(together))
    run = inspector.run
    assert run.series("activation_mean", "first").values[0] == pytest.approx(expected.mean, rel=1e-5)
    assert run.series("activation_spread", "first").values[0] == pytest.approx(expected.spread, rel=1e-5)
    assert len(run.series("activation_gradient_norm", "first")) == 5
    assert run.series("loss", "train").values == pytest.approx(losses)
    shapes = [entry.facts["input_shape"] for entry in run.trace if entry.call == "forward"]
    assert shapes[0] == [len(LENGTHS), -1, FEATURES]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_is_diagnosed(layout):
    found = []
    train(layout, closely, lambda inspector: found.extend(inspector.diagnose(budget=60.0).findings))
    assert not [finding.message for finding in found if "failed itself" in finding.message]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nan_in_a_nested_output_is_found(layout):
    def poison(model, optimizer, data):
        inspector = closely(model, optimizer, data)
        with torch.no_grad():
            model.first.bias[3] = math.nan
        return inspector

    _, _, inspector = train(layout, poison)
    assert inspector.problems == []
    assert inspector.run.series("activation_nonfinite", "first").values[0] > 0


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("change", [lambda x: x, lambda x: x.transpose(1, 2)], ids=["as it is", "transposed"])
def test_values_are_those_of_the_items(layout, change):
    tensor = change(nested(layout))
    together = torch.cat([item.reshape(-1) for item in tensor.unbind()])
    found = real_values(tensor).reshape(-1)
    assert found.sort().values.tolist() == together.sort().values.tolist()
    assert float(norms([tensor])[0]) == pytest.approx(float(together.norm()))
    assert not is_dense(tensor)


def test_what_is_stored_but_not_shown_does_not_count():
    base = torch.arange(24.0).reshape(2, 4, 3)
    part = torch.nested.narrow(base, 1, torch.tensor([0, 1]), torch.tensor([1, 2]), layout=torch.jagged)
    assert real_values(part).reshape(-1).tolist() == [0.0, 1.0, 2.0, *range(15, 21)]
    assert shape_of(part) == [2, -1, 3]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_lengths_of_its_items_are_those_of_the_sequences(layout):
    found = find_lengths((nested(layout), torch.tensor([0, 1, 2, 0])))
    assert (found.sequences, found.shortest, found.mean, found.longest, found.padding) == (4, 1, 2.75, 5, 0.0)
