"""Early stopping beside a validation loss that was still falling: perhaps it waits the wrong way round."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from nn_inspector.checks.base import Subject
from nn_inspector.checks.loop.source import codes_of

FEWEST = 3
"""Of fewer validations nothing is said."""

_EARLY = re.compile(r"patien|wait|stop|best|improv|early|bad", re.IGNORECASE)


def left_while_improving(subject: Subject) -> str | None:
    """The condition that the loop over the epochs can be left under, if each validation had a lower loss than the one before."""
    condition = next((one for code in codes_of(subject.training) for one in _leaves(code.node)), None)
    if condition is None:
        return None
    seen = subject.run.series("loss", "validation")
    steps = np.unique(seen.steps)
    means = [float(seen.values[seen.steps == step].mean()) for step in steps]
    falling = len(means) >= FEWEST and all(later < before for before, later in pairwise(means))
    return condition if falling else None


def _leaves(tree: ast.AST) -> Iterator[str]:
    """Conditions of early stopping that a loop around another one is left under."""
    for loop in ast.walk(tree):
        if isinstance(loop, ast.For | ast.While) and any(
            isinstance(one, ast.For) for one in ast.walk(loop) if one is not loop
        ):
            yield from (said for part in loop.body for said in _conditions(part) if _EARLY.search(said))


def _conditions(statement: ast.stmt) -> Iterator[str]:
    """The tests behind which a `break` of the loop around this statement stands."""
    if isinstance(statement, ast.If):
        if any(isinstance(one, ast.Break) for one in (*statement.body, *statement.orelse)):
            yield ast.unparse(statement.test)
        for inner in (*statement.body, *statement.orelse):
            yield from _conditions(inner)
