"""The sound trainings are sound: each learns, from several seeds."""

import inspect

import pytest
import torch

from nn_inspector.checks import Subject
from nn_inspector.checks.loop.source import loop_of
from nn_inspector.history import Run
from nn_inspector.training import Training
from tests.scenes import all_healthy

ALL = {entry.id: entry for entry in all_healthy()}

LEARNING = {"backward", "step", "weights"}
"""What is read in a loop that trains, at least one of them."""

FAST = [
    "autoencoder",
    "contextual_bandit",
    "frozen_backbone",
    "gradient_accumulation",
    "graph_in_one_batch",
    "language_model_with_manual_updates",
    "lbfgs_with_a_closure",
    "log_softmax_then_cross_entropy",
    "noisy_labels",
    "summed_loss_with_a_fitting_rate",
    "vae_of_a_table",
    "zero_last_layer",
]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", FAST)
def test_it_learns(name):
    assert_it_learns(name, seed=0)


@pytest.mark.suite
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ALL)
def test_it_learns_from_every_seed(name, seed):
    assert_it_learns(name, seed)


@pytest.mark.parametrize("name", ALL)
def test_its_loop_can_be_read(name):
    scene = ALL[name].build(0)
    assert inspect.signature(scene.loop).parameters == {}
    training = Training(scene.model, scene.optimizer, scene.loss_fn, train_loader=scene.train_loader, loop=scene.loop)
    reading = loop_of(Subject(training, Run("read", {}), seconds=0.0))
    assert LEARNING & {event.kind for event in reading.events}, reading.reason


def assert_it_learns(name, seed):
    entry = ALL[name]
    scene = entry.build(seed)
    before = scene.score()
    scene.loop()
    after = scene.score()
    assert before < entry.learns <= after
