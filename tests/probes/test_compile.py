"""A compiled model keeps its graphs: none is added, none is broken."""

import pytest
import torch
from torch import nn

import nn_inspector as nni
from tests.trainings import blobs, classifier, mlp


def compiled_training(watched, target="model"):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss_fn = nn.CrossEntropyLoss()
    if target == "part":
        compiled = model = nn.Sequential(torch.compile(model[0], backend=backend), *model[1:])
    else:
        compiled = torch.compile(model, backend=backend)
    inspector = nni.watch(model if target != "compiled model" else compiled, optimizer, loss_fn) if watched else None
    x, y = blobs(16).tensors
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = loss_fn(compiled(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if inspector is not None:
        inspector.detach()
    breaks = sum(torch._dynamo.utils.counters["graph_break"].values())
    return losses, len(graphs), breaks, inspector


@pytest.mark.parametrize("target", ["model", "compiled model", "part"])
def test_graphs_and_breaks_and_losses_are_unchanged(target):
    losses, graphs, breaks, _ = compiled_training(False, target)
    watched_losses, watched_graphs, watched_breaks, inspector = compiled_training(True, target)
    assert watched_losses == losses
    assert (watched_graphs, watched_breaks) == (graphs, breaks)
    assert inspector.run.steps == 60
    name = inspector.run.sources("gradient_norm")[0]
    assert len(inspector.run.series("gradient_norm", name)) >= 20
    assert inspector.run.series("loss", "train").values == pytest.approx(losses)


def test_a_forward_pass_that_is_not_seen_is_said_aloud():
    *_, inspector = compiled_training(watched=True)
    assert ["it is compiled" in problem for problem in inspector.problems] == [True]


@pytest.mark.parametrize("part", [False, True])
def test_a_diagnosis_compiles_nothing(part):
    """torch keeps a few graphs of each function: those of copies would leave no room for the training's own."""
    torch._dynamo.reset()
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    c = classifier()
    if part:
        c.model[0] = torch.compile(c.model[0], backend=backend)
    else:
        c.model = torch.compile(c.model, backend=backend)
    with nni.watch(c.model, c.optimizer, c.loss_fn, train_loader=c.train_loader) as inspector:
        c.run(1)
        before = len(graphs)
        findings = inspector.diagnose(budget=60.0).findings
        assert len(graphs) == before == 1
        c.run(1)
    assert len(graphs) == before
    assert inspector.run.steps == 12
    assert not [finding.message for finding in findings if "failed itself" in finding.message]
