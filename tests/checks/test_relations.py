"""Inputs that say who is whose neighbour: their size is meant, and no scale for the network to work with."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks.data.inputs_seen import _is_relation


def ring(nodes, *, weight=0.02, directed=False):
    edges = torch.zeros(nodes, nodes)
    for node in range(nodes):
        edges[node, (node + 1) % nodes] = weight
        if not directed:
            edges[(node + 1) % nodes, node] = weight
    return edges


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (ring(8), True),
        (ring(8).expand(3, 8, 8), True),
        (ring(8) + 0.1 * torch.eye(8), True),
        (ring(8, directed=True), False),
        (-ring(8), False),
        (torch.rand(8, 8) @ torch.ones(8, 8), False),
        (torch.zeros(8, 8), False),
        (ring(3), False),
        (ring(8)[:4], False),
        (torch.ones(8), False),
    ],
)
def test_what_is_a_relation(given, expected):
    assert _is_relation(given) is expected


class Neighbours(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 16), nn.Linear(16, 2)

    def forward(self, x, edges):
        return edges @ self.last(torch.relu(edges @ self.first(x)))


@pytest.mark.parametrize(("scale", "severity"), [(1.0, "ok"), (1000.0, "info")])
def test_the_other_inputs_are_looked_at(scale, severity):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 8, 4, generator=generator)
    edges = ring(8, weight=0.3).expand(64, 8, 8)
    y = (x.roll(1, 1) + x.roll(-1, 1))[..., 0].gt(0).long()
    loader = DataLoader(TensorDataset(scale * x, edges, y), 8, shuffle=True)
    model = Neighbours()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)

    def train():
        for _ in range(15):
            for x, edges, y in loader:
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x, edges).flatten(0, 1), y.flatten()).backward()
                optimizer.step()

    with nni.watch(model, optimizer, train_loader=loader, loop=train, show=False) as inspector:
        train()
        finding = inspector.check("input_scale", seconds=60.0)
    assert finding.severity == severity, finding.message
    assert ": x: " in finding.message or "(x: " in finding.message
