"""Checks of the training while it runs."""

from nn_inspector.checks.base import Check
from nn_inspector.checks.train import regularization_share

CHECKS: tuple[Check, ...] = (regularization_share.CHECK,)
"""In the order in which they are made."""
