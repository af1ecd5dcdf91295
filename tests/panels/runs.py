"""Runs for the panels: none, a trained one, and one that is made of some values."""

import nn_inspector as nni
from nn_inspector.probes import Measurement
from tests.trainings import classifier

EMPTY = nni.Run("empty", {"model": "Sequential", "modules": {}})


def trained(epochs=4, probes="standard", **options):
    case = classifier(**options)
    objects = case.model, case.optimizer, case.loss_fn
    with nni.watch(*objects, train_loader=case.train_loader, every=1, probes=probes) as inspector:
        case.run(epochs)
    return inspector


def run_of(quantity, values, source="train"):
    run = nni.Run("made", {"model": "M"})
    run.record([Measurement(step, quantity, source, float(value)) for step, value in enumerate(values)])
    return run
