"""The sound trainings are sound: each learns, from several seeds."""

import inspect

import pytest
import torch

from tests.scenes import all_healthy

ALL = {entry.id: entry for entry in all_healthy()}

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
    source = inspect.getsource(scene.loop)
    assert "def " in source
    assert inspect.signature(scene.loop).parameters == {}


def assert_it_learns(name, seed):
    entry = ALL[name]
    scene = entry.build(seed)
    before = scene.score()
    scene.loop()
    after = scene.score()
    assert before < entry.learns <= after
