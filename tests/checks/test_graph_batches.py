"""Batches that are graphs: their items cannot be taken apart, and every check must bear that."""

import pytest
import torch
from torch import nn

import nn_inspector as nni
from nn_inspector.experiments import BatchSource
from tests.healthy.graphs import Followers, followers


def trained(graphs):
    torch.manual_seed(0)
    model, loss_fn = Followers(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def train():
        for _ in range(25):
            for edges, x, y in graphs:
                optimizer.zero_grad()
                loss_fn(model(edges, x), y).backward()
                optimizer.step()

    with nni.watch(model, optimizer, loss_fn, train_loader=graphs, loop=train, show=False) as inspector:
        train()
    return inspector


@pytest.mark.parametrize("sparse", [True, False])
def test_graphs_stay_whole(sparse):
    graphs = followers(3, 1, sparse=sparse)
    drawn = BatchSource(graphs).mixed(3)
    known = [edges.to_dense() for edges, _, _ in graphs]
    assert all(any(torch.equal(edges.to_dense(), one) for one in known) for edges, _, _ in drawn)


def test_square_tables_of_features_are_mixed_all_the_same():
    batches = [(torch.arange(64.0).reshape(8, 8) + 64 * n, torch.arange(8) + 8 * n) for n in range(2)]
    x, y = BatchSource(batches).mixed(1)[0]
    assert not torch.equal(y, batches[0][1])
    assert torch.equal(x[:, 0], 8.0 * y)


@pytest.mark.parametrize("sparse", [True, False])
def test_no_check_fails_over_graphs_and_none_raises_anything(sparse):
    diagnosis = trained(followers(8, 1, sparse=sparse)).diagnose(budget=60)
    assert not [finding for finding in diagnosis.findings if finding.raised or "failed itself" in finding.message]
    said = {finding.check: finding.severity for finding in diagnosis.findings}
    assert {said[name] for name in ("zero_input", "learning_rate", "update_direction", "gradient_flow")} == {"ok"}
