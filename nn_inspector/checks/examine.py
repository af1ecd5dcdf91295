"""Runs a check so that whatever happens in it comes back as a finding."""

from __future__ import annotations

import inspect
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
        return check.look(subject, **options)
    except InspectorError as reason:
        return finding(check.info, "skipped", str(reason))
    except Exception as error:  # noqa: BLE001 - a check that fails must not take the diagnosis with it
        message = f"This check failed itself ({describe_error(error)}). Please report it; nothing of yours changed."
        return finding(check.info, "skipped", message)
