"""Functions between the model and backward() that can leave the numbers."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.checks.loop.reading import code_of, is_users
from nn_inspector.checks.loop.reading.events import place_of
from nn_inspector.checks.train.nonfinite_remedy import RISKY

_OPERATORS = {"div": ast.Div, "truediv": ast.Div, "pow": ast.Pow, "mul": ast.Mult}


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
            return RiskyCall(name, calling_line(subject, name))
    return None


def calling_line(subject: Subject, name: str) -> str | None:
    """The first line of the user's where a function or operator of this name is called: in the loss, the loop or the model."""
    training = subject.training
    loss_fn, loop = training.loss_fn, training.loop
    for function in (_forward(loss_fn), training.step, *loop, *_forwards(training.model)):
        code = code_of(function) if function is not None and is_users(function) else None
        for node in ast.walk(code.node) if code is not None else ():
            if code is not None and _calls(node, name):
                line: int = node.lineno  # type: ignore[attr-defined]  # expressions have one
                return place_of(line, code.line(line), "" if function in loop else Path(code.file).name)
    return None


def _forward(loss_fn: Any) -> Callable[..., Any] | None:
    return type(loss_fn).forward if isinstance(loss_fn, nn.Module) else loss_fn


def _forwards(model: nn.Module) -> list[Callable[..., Any]]:
    return list(dict.fromkeys(type(module).forward for module in model.modules()))


def _calls(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.BinOp):
        return type(node.op) is _OPERATORS.get(name)
    called = node.func if isinstance(node, ast.Call) else None
    return (isinstance(called, ast.Attribute) and called.attr == name) or (
        isinstance(called, ast.Name) and called.id == name
    )
