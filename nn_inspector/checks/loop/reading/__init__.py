"""Reads the source of a training loop into the events that it consists of. Nothing of the user's is called."""

from nn_inspector.checks.loop.reading.code import Code, cells_of_notebook, code_of, is_users
from nn_inspector.checks.loop.reading.events import Event, Loop, Reading, Term
from nn_inspector.checks.loop.reading.reader import Reader
from nn_inspector.checks.loop.reading.values import SOMETHING, Held, Value, lift, role_of, role_of_name

__all__ = [
    "SOMETHING",
    "Code",
    "Event",
    "Held",
    "Loop",
    "Reader",
    "Reading",
    "Term",
    "Value",
    "cells_of_notebook",
    "code_of",
    "is_users",
    "lift",
    "role_of",
    "role_of_name",
]
