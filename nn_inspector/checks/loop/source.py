"""The source of the user's loop, read into the events that it consists of."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from nn_inspector.checks.base import Subject
from nn_inspector.checks.loop.reading import (
    Code,
    Reader,
    Reading,
    Value,
    cells_of_notebook,
    code_of,
    is_users,
    lift,
    role_of_name,
)
from nn_inspector.errors import describe_error
from nn_inspector.training import Training

_VALIDATION = ("val", "test", "dev", "eval")


def loop_of(subject: Subject) -> Reading:
    """What the loop does, from the functions given as `loop=...`, else from the cells that ran since `watch()`.

    Functions of the user's that it calls are followed. Where nothing can be read the result has no events and a reason.
    """
    reading: Reading = subject.once("source of the loop", lambda: _read_loop(subject.training))
    return reading


def forward_of(subject: Subject) -> Reading:
    """What the model's own forward pass does, with the modules in it that are written by the user."""
    reading: Reading = subject.once("source of the model", lambda: _read_forward(subject.training))
    return reading


def items_of(subject: Subject) -> Reading:
    """What the training data set does when it is asked for an item."""
    reading: Reading = subject.once("source of the data set", lambda: _read_items(subject.training))
    return reading


def codes_of(training: Training) -> list[Code]:
    """The code of the loop as it is written: the functions given as `loop=...`, else the cells that ran since `watch()`."""
    return [code for code in map(code_of, training.loop) if code is not None] if training.loop else cells_of_notebook()


def _read_loop(training: Training) -> Reading:
    codes = codes_of(training)
    if training.loop:
        reason = "The source of the loop cannot be read."
    else:
        reason = "The source of the loop is not known: pass the function that trains, watch(..., loop=train)."
    return _read(training, [(code, _arguments(training, code)) for code in codes], reason)


def _read_forward(training: Training) -> Reading:
    forward = type(training.model).forward
    code = code_of(forward) if is_users(forward, beside=_home(training)) else None
    if code is None or isinstance(code.node, ast.Module):
        return Reading(reason="The model's forward pass is not the user's own code.")
    names = [one.arg for one in code.node.args.args]
    inputs = {name: Value(alias="input") for name in names[1:]}
    return _read(training, [(code, {names[0]: lift(training.model), **inputs})], "", inside=True)


def _read_items(training: Training) -> Reading:
    data = training.train_loader
    found: list[Any] = []
    while data is not None and len(found) < 5:
        data = getattr(data, "dataset", None)
        found.append(data)
    for one in found:
        get = getattr(type(one), "__getitem__", None)
        code = code_of(get.__get__(one)) if get is not None and is_users(get, beside=_home(training)) else None
        if code is not None and not isinstance(code.node, ast.Module):
            names = [argument.arg for argument in code.node.args.args]
            return _read(training, [(code, {names[0]: lift(one)})], "")
    return Reading(reason="The data set is not the user's own code.")


def _home(training: Training) -> str:
    owner: Any = training.loop[0] if training.loop else type(training.model)
    return str(getattr(owner, "__module__", "__main__"))


def _read(
    training: Training, codes: list[tuple[Code, Mapping[str, Value]]], reason: str, *, inside: bool = False
) -> Reading:
    reader = Reader(training, inside=inside)
    for code, arguments in codes:
        try:
            reader.read(code, arguments)
        except Exception as error:  # noqa: BLE001 - code of any kind may be met; a part of the events would mislead
            return Reading(reason=f"The source of the loop could not be followed ({describe_error(error)}).")
    return Reading(tuple(reader.events)) if reader.events else Reading(reason=reason or "There is nothing to read.")


def _arguments(training: Training, code: Code) -> dict[str, Value]:
    """What the arguments of the loop's function probably are, by their names."""
    if isinstance(code.node, ast.Module):
        return {}
    names = [one.arg for one in (*code.node.args.args, *code.node.args.kwonlyargs)]
    found: dict[str, Value] = {}
    roles = [role_of_name(name) for name in names]
    for name, role in zip(names, roles, strict=True):
        validating = any(word.startswith(_VALIDATION) for word in name.lower().split("_"))
        known: Mapping[str, Callable[[], Any]] = {
            "model": lambda: training.model if roles.count("model") == 1 else None,
            "optimizer": lambda: (
                training.optimizers[0] if len(training.optimizers) == roles.count("optimizer") == 1 else None
            ),
            "loss": lambda: training.loss_fn if roles.count("loss") == 1 else None,
            "loader": lambda: training.val_loader if validating else training.train_loader,  # noqa: B023 - called at once
        }
        one = known[role]() if role in known else None
        if one is not None:
            found[name] = lift(one)
    if code.owner is not None and names:
        found[names[0]] = lift(code.owner)
    return found
