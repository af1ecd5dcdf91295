"""Trainings of which every step is measured by all probes there are."""

import torch

import nn_inspector as nni


def closely_watched(model, optimizer, loss_fn=None, **options):
    """Every step, by all probes."""
    return nni.watch(model, optimizer, loss_fn, **{"every": 1, "probes": "full", **options})


def trained_closely(model, x, target, steps=12, **options):
    """The run of a few steps towards a target, under full watch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    with closely_watched(model, optimizer, **options) as inspector:
        for _ in range(steps):
            optimizer.zero_grad()
            (model(x) - target).square().mean().backward()
            optimizer.step()
    assert inspector.problems == []
    return inspector.run
