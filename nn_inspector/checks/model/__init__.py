"""Checks of the model's parts."""

from nn_inspector.checks.base import Check

CHECKS: tuple[Check, ...] = ()
"""In the order in which they are made."""
