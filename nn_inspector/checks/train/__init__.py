"""Checks of the training while it runs."""

from nn_inspector.checks.base import Check
from nn_inspector.checks.train import learning_rate, regularization_share

CHECKS: tuple[Check, ...] = (regularization_share.CHECK, learning_rate.CHECK)
"""In the order in which they are made."""
