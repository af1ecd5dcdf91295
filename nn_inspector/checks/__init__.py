"""The checks, and the catalogue that lists them."""

from nn_inspector.checks.base import STAGES, Check, CheckInfo, Stage, Subject
from nn_inspector.checks.catalog import (
    catalog,
    checks,
    explain,
    find_check,
    register_check,
    symptoms_of,
    unregister_check,
)

__all__ = [
    "STAGES",
    "Check",
    "CheckInfo",
    "Stage",
    "Subject",
    "catalog",
    "checks",
    "explain",
    "find_check",
    "register_check",
    "symptoms_of",
    "unregister_check",
]
