"""Checks of the model's parts."""

from nn_inspector.checks.base import Check
from nn_inspector.checks.model import batch_dependency, simpler_baseline

CHECKS: tuple[Check, ...] = (batch_dependency.CHECK, simpler_baseline.CHECK)
"""In the order in which they are made."""
