"""Gradients that were still there when new ones came, and when they are looked for."""

import nn_inspector as nni
from tests.trainings import classifier


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
