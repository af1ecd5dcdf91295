"""An input that the loop makes up, while the batch is left aside: read from its source."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from nn_inspector.checks.base import Subject
from nn_inspector.checks.loop.reading import Event
from nn_inspector.checks.loop.source import loop_of

RANDOM = frozenset({"randn_like", "rand_like", "randn", "rand", "normal", "randint", "randint_like"})
"""What makes random numbers."""

_LIKE = RANDOM | {
    "zeros_like",
    "ones_like",
    "zeros",
    "ones",
    "empty",
    "full",
    "full_like",
    "new_zeros",
    "new_ones",
    "len",
}
"""Functions that take nothing of their arguments but shape, type and device."""

_ASIDE = frozenset({"shape", "device", "dtype", "ndim"})
_MODULES = frozenset({"torch", "np", "numpy", "F", "math", "random"})


@dataclass(frozen=True, slots=True)
class MadeUp:
    """What the loop gives to the network.

    Attributes:
        name: of the variable.
        place: where the network is called, for a person.
    """

    name: str
    place: str


def made_up_input(subject: Subject) -> MadeUp | None:
    """The input, if the only call of the network for each batch gets nothing but random numbers made there; else None."""
    if subject.training.train_loader is None:
        return None
    for events in loop_of(subject).rounds:
        calls = [event for event in events if event.kind == "forward" and not event.no_grad]
        if len(calls) != 1 or calls[0].target is not subject.training.model or not _for_each_batch(calls[0]):
            continue
        names: Sequence[str] = calls[0].options.get("names", ())
        made = _assignments(events[: events.index(calls[0])])
        if names and all(_made_up(name, made) for name in names):
            return MadeUp(names[0], calls[0].place)
    return None


def _for_each_batch(event: Event) -> bool:
    return bool(event.loops) and event.loops[-1].over == "batches"


def _assignments(events: Sequence[Event]) -> list[tuple[str, ast.expr | None]]:
    """What each name was given, in order; None where that is not one plain value."""
    return [(event.on, _given(event)) for event in events if event.kind == "assign"]


def _given(event: Event) -> ast.expr | None:
    try:
        tree = ast.parse(event.code.strip()).body
    except SyntaxError:  # only the first line of a longer statement is known
        return None
    if len(tree) != 1 or not isinstance(tree[0], ast.Assign) or len(tree[0].targets) != 1:
        return None
    target = tree[0].targets[0]
    return tree[0].value if isinstance(target, ast.Name) and target.id == event.on else None


def _made_up(name: str, made: Sequence[tuple[str, ast.expr | None]]) -> bool:
    """Whether a name stands for random numbers, and for nothing of what the loader yields."""
    latest = next((place for place in reversed(range(len(made))) if made[place][0] == name), None)
    given = made[latest][1] if latest is not None else None
    if given is None:
        return False
    needed = set(_values(given))
    random = any(isinstance(node, ast.Call) and _called(node) in RANDOM for node in ast.walk(given))
    return (random or bool(needed)) and all(_made_up(one, made[:latest]) for one in needed)


def _values(node: ast.AST) -> list[str]:
    """The names whose values go into an expression, not only their shapes."""
    if isinstance(node, ast.Name):
        return [] if node.id in _MODULES else [node.id]
    if isinstance(node, ast.Attribute) and node.attr in _ASIDE:
        return []
    if isinstance(node, ast.Call):
        name = _called(node)
        if name in _LIKE or name == "size":
            return []
        receiver = node.func.value if isinstance(node.func, ast.Attribute) else None
        parts = [*([receiver] if receiver is not None else []), *node.args, *(one.value for one in node.keywords)]
        return [found for part in parts for found in _values(part)]
    return [found for child in ast.iter_child_nodes(node) for found in _values(child)]


def _called(node: ast.Call) -> str:
    function = node.func
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )
