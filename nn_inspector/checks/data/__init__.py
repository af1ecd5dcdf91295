"""Checks of what goes in."""

from nn_inspector.checks.base import Check
from nn_inspector.checks.data import input_scale, shuffling, target_scale

CHECKS: tuple[Check, ...] = (input_scale.CHECK, target_scale.CHECK, shuffling.CHECK)
"""In the order in which they are made."""
