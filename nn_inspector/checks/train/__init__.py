"""Checks of the training while it runs."""

from nn_inspector.checks.base import Check
from nn_inspector.checks.train import learning_rate, nonfinite, regularization_share

CHECKS: tuple[Check, ...] = (
    nonfinite.CHECK,
    regularization_share.CHECK,
    learning_rate.CHECK,
)
"""In the order in which they are made."""
