"""Runs a check so that whatever happens in it comes back as a finding."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

from nn_inspector.checks.base import Check, Subject, finding
from nn_inspector.errors import ArgumentError, InspectorError, describe_error
from nn_inspector.history import Finding


def examine(check: Check, subject: Subject, options: dict[str, Any] | None = None) -> Finding:
    """Run a check.

    Args:
        check: which.
        subject: on what.
        options: the check's own options, by name.

    Returns:
        Its finding; "skipped" with the reason where it could not look or failed.

    Raises:
        ArgumentError: the check has no such option, or its value is none that it can take.
    """
    options = options or {}
    known = dict(list(inspect.signature(check.look).parameters.items())[1:])
    for name, value in options.items():
        if name not in known:
            advice = f"It has: {', '.join(known)}." if known else "It has none."
            raise ArgumentError(name, expected=f"an option of {check.info.name}", got="an unknown one", advice=advice)
        default = known[name].default
        if type(default) is int and (type(value) is not int or value < 1):
            raise ArgumentError(
                name, expected="a whole number from 1", got=repr(value), advice=f"{default} is what it has by default."
            )
    try:
        return _with_data(subject, check.look(subject, **options))
    except InspectorError as reason:
        return finding(check.info, "skipped", str(reason))
    except Exception as error:  # noqa: BLE001 - a check that fails must not take the diagnosis with it
        message = f"This check failed itself ({describe_error(error)}). Please report it; nothing of yours changed."
        return finding(check.info, "skipped", message)


def _with_data(subject: Subject, found: Finding) -> Finding:
    """A finding that copies have shown, with what they were trained on where that is no loader."""
    training = subject.training
    steps = len(training.moments) if training.train_loader is None else 0
    tried = found.remedy is not None and found.remedy.tried is not None
    if not steps or not found.raised or not (tried or found.basis == "experiment"):
        return found
    if training.tape is None:
        source = f"this was seen on {_first(steps)} of your loop, as recorded"
    elif steps == 1:
        source = "copies were given the data that your loop uses in each step"
    else:
        source = f"copies were given the data of {_first(steps)} of your loop, again and again"
    return replace(found, message=f"{found.message} (There is no train_loader: {source}.)")


def _first(steps: int) -> str:
    return f"the first {steps} steps" if steps > 1 else "one of the first steps"
