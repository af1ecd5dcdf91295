"""Checks of whether it can learn at all."""

from nn_inspector.checks.base import Check
from nn_inspector.checks.fit import human_baseline, loss_learnable, one_batch_fit, small_subset_fit, zero_input

CHECKS: tuple[Check, ...] = (
    one_batch_fit.CHECK,
    small_subset_fit.CHECK,
    zero_input.CHECK,
    loss_learnable.CHECK,
    human_baseline.CHECK,
)
"""In the order in which they are made."""
