import pytest
import torch
from torch import nn

import nn_inspector as nni
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import isolated, require_no_memory
from nn_inspector.training import Training
from tests.trainings import classifier, mlp


class Remembering(nn.Module):
    """Adds to its answers what it was asked before."""

    def __init__(self):
        super().__init__()
        self.net, self.seen = mlp(), torch.zeros(())

    def forward(self, x):
        answer = self.net(x) * (1 + self.seen)
        self.seen = self.seen + x.detach().abs().mean()
        return answer


def copied(model):
    case = classifier()
    training = Training(
        model, torch.optim.SGD(model.parameters(), lr=0.1), case.loss_fn, train_loader=case.train_loader
    )
    return isolated(training), next(iter(case.train_loader))


def test_a_network_that_remembers_is_refused():
    isolation, batch = copied(Remembering())
    with isolation as copy, pytest.raises(ExperimentError, match="keeps a state from one call to the next"):
        require_no_memory(copy, batch)


@pytest.mark.parametrize(
    "model",
    [
        mlp(),
        nn.Sequential(mlp(), nn.BatchNorm1d(4), nn.Dropout(0.5)),
        nn.Sequential(mlp(), nn.RReLU(0.1, 0.9)),
    ],
    ids=["plain", "norm-and-dropout", "random-slopes"],
)
def test_other_networks_pass_and_stay_in_training_mode(model):
    isolation, batch = copied(model)
    with isolation as copy:
        require_no_memory(copy, batch)
        assert copy.model.training


def test_a_network_that_remembers_is_not_judged_by_calls_outside_its_loop():
    model, case = Remembering(), classifier()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer, case.loss_fn, train_loader=case.train_loader, show=False) as inspector:
        for _ in range(20):
            for x, y in case.train_loader:
                model.seen = torch.zeros(())
                optimizer.zero_grad()
                case.loss_fn(model(x), y).backward()
                optimizer.step()
        found = inspector.check("simpler_baseline")
    assert found.severity == "skipped"
    assert "keeps a state" in found.message
