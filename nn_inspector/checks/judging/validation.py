"""A loss that gets something else in the validation than in the training, read from the source of the loop."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from nn_inspector.checks.base import Subject
from nn_inspector.checks.judging.complaint import Complaint
from nn_inspector.checks.judging.path import SQUASHING
from nn_inspector.checks.judging.reading import Judged
from nn_inspector.checks.loop.reading import Event
from nn_inspector.checks.loop.source import loop_of

_SQUASHES = re.compile(r"\b(softmax|sigmoid|tanh)\b", re.IGNORECASE)


def squashed_in_validation(subject: Subject, seen: Judged) -> Complaint | None:
    """A softmax or sigmoid before the loss of the validation, where the training has none."""
    if seen.judge not in ("scores", "logits") or seen.last in SQUASHING:
        return None
    events = loop_of(subject).events
    training, validation = _losses(events, validating=False), _losses(events, validating=True)
    names = {event.on for event, _ in training}
    if not training or any(_SQUASHES.search(text) for _, text in training):
        return None
    for event, text in validation:
        found = _SQUASHES.search(text) if event.on in names else None
        if found is not None:
            return Complaint(
                "warning",
                f"In the validation `{event.on}` gets scores that went through `{found.group()}` ({event.place}), in the training "
                "plain ones. The validation loss then stays high however good the network is, and cannot be compared with the "
                "training loss.",
                f"Leave out `{found.group()}` before `{event.on}` in the validation as well.",
                f"with torch.no_grad():\n    val_loss = {event.on}(model(x), y)",
                where=event.place,
            )
    return None


def _losses(events: Sequence[Event], *, validating: bool) -> list[tuple[Event, str]]:
    """The calls of loss functions, with the lines that their first argument was made in."""
    found = []
    for place, event in enumerate(events):
        in_validation = event.no_grad or any(loop.over == "validation" for loop in event.loops)
        if event.kind != "loss" or in_validation != validating:
            continue
        argument = _first_argument(event.code, event.on)
        if argument is None:
            continue
        names = {node.id for node in ast.walk(argument) if isinstance(node, ast.Name)}
        lines = [_made(events[:place], name) for name in names]
        found.append((event, "\n".join([ast.unparse(argument), *lines])))
    return found


def _first_argument(code: str, name: str) -> ast.expr | None:
    try:
        tree = ast.parse(code)
    except SyntaxError:  # the head of a block, or a line of several
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name and node.args:
            return node.args[0]
    return None


def _made(before: Sequence[Event], name: str) -> str:
    """The line that gave a name its latest value."""
    return next((event.code for event in reversed(before) if event.kind == "assign" and event.on == name), "")
