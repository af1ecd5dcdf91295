"""A training beside validation data, and what split_shift says of the two."""

import nn_inspector as nni
from tests.trainings import assert_equal, state_of


def finding_of(case, val_loader, *, epochs=10, seconds=300.0):
    """The finding after so many epochs; the training is left as it was."""
    objects = case.model, case.optimizer, case.loss_fn
    with nni.watch(*objects, train_loader=case.train_loader, val_loader=val_loader, show=False) as inspector:
        case.run(epochs)
        before = state_of(case)
        finding = inspector.check("split_shift", seconds=seconds)
        assert_equal(before, state_of(case))
    return finding
