"""Checks of what goes in."""

from nn_inspector.checks.base import Check
from nn_inspector.checks.data import shuffling

CHECKS: tuple[Check, ...] = (shuffling.CHECK,)
"""In the order in which they are made."""
