"""Functions between the model and backward() that can leave the numbers."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from nn_inspector.checks.base import Subject
from nn_inspector.checks.loop.reading import code_of
from nn_inspector.checks.loop.reading.events import place_of
from nn_inspector.checks.train.nonfinite_remedy import RISKY


@dataclass(frozen=True, slots=True)
class RiskyCall:
    """A call on what the model returned.

    Attributes:
        name: of the function, such as "log".
        place: the line of the loop where a function of this name is called, if it is found.
    """

    name: str
    place: str | None


def risky_call(subject: Subject) -> RiskyCall | None:
    """The first such call of the traced steps."""
    for entry in list(subject.run.trace):
        name = str(entry.facts.get("name"))
        parts = entry.facts.get("of")
        if (
            entry.call == "function"
            and name in RISKY
            and isinstance(parts, list)
            and any("prediction" in str(part) for part in parts)
        ):
            return RiskyCall(name, _place(subject, name))
    return None


def _place(subject: Subject, name: str) -> str | None:
    for function in subject.training.loop:
        code = code_of(function)
        for node in ast.walk(code.node) if code is not None else ():
            called = node.func if isinstance(node, ast.Call) else None
            if code is not None and isinstance(called, ast.Attribute | ast.Name) and _name(called) == name:
                return place_of(called.lineno, code.line(called.lineno))
    return None


def _name(called: ast.Attribute | ast.Name) -> str:
    return called.attr if isinstance(called, ast.Attribute) else called.id
