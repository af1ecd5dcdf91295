import math

import pytest
import torch
from torch import nn

from benchmarks.diagnosis.answer import Answer
from benchmarks.diagnosis.peers import PEERS, TORCH_AUDIT, TORCHMORTEM, published_rules
from benchmarks.diagnosis.published import Collector, judged
from nn_inspector import catalog
from tests.scenes import Scene
from tests.trainings import classifier


def scene(**options):
    case = classifier(**options)
    return Scene(case.model, case.optimizer, case.loss_fn, case.train_loader, lambda: case.run(10))


def test_what_others_say_counts_as_a_check_of_ours():
    assert {*TORCH_AUDIT.values(), *TORCHMORTEM.values()} <= {info.name for info in catalog()}


def test_published_rules_are_quiet_on_a_training_that_learns():
    assert published_rules(scene()) == Answer((), pytest.approx(0.0, abs=1.0))


@pytest.mark.parametrize(("lr", "check"), [(1e30, "nonfinite"), (1e-9, "no_learning"), (1e-9, "learning_rate")])
def test_published_rules_see_what_they_are_about(lr, check):
    assert check in published_rules(scene(lr=lr)).checks


def test_nothing_is_left_in_the_training():
    backward = torch.Tensor.backward
    made = scene()
    published_rules(made)
    assert torch.Tensor.backward is backward
    assert not made.model._forward_hooks
    assert not made.optimizer._optimizer_step_post_hooks


def test_dead_units_are_counted_over_a_window():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    with Collector(model) as seen:
        for _ in range(10):
            model(torch.randn(8, 4))
    assert judged(seen) == ["dead_units"]
    assert all(math.isfinite(mean) for mean, _ in seen.inputs)


def test_the_peers_are_named():
    assert list(PEERS) == ["torch-audit", "torchmortem", "published rules"]
