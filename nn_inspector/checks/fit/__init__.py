"""Checks of whether it can learn at all."""

from nn_inspector.checks.base import Check
from nn_inspector.checks.fit import one_batch_fit, zero_input

CHECKS: tuple[Check, ...] = (one_batch_fit.CHECK, zero_input.CHECK)
"""In the order in which they are made."""
