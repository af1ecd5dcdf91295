"""Cells for the notebook: checks and remedies as code, in the notebook's own names."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Mapping
from typing import Any

from nn_inspector.checks import find_check
from nn_inspector.history import Finding
from nn_inspector.inspector import Inspector


def check_cell(name: str, inspector: Inspector | None, namespace: Mapping[str, Any]) -> str:
    """A cell that makes a check.

    Args:
        name: the check.
        inspector: what watches the training, or None if nothing does yet.
        namespace: the notebook's variables.

    Raises:
        ArgumentError: there is no check of this name.
    """
    info = find_check(name).info
    variable = name_of(inspector, namespace) if inspector is not None else None
    if variable is None:
        return f"# {info.question}\n%nn_check {info.name}"
    return f'# {info.question}\n{variable}.check("{info.name}")'


def remedy_cell(finding: Finding, inspector: Inspector, namespace: Mapping[str, Any]) -> str:
    """A cell with the remedy of a finding, written with the notebook's own variable names."""
    assert finding.remedy is not None, "only a finding with a remedy is offered as a cell"
    training = inspector.training
    parts = {
        "model": training.model,
        "optimizer": training.optimizers[0] if training.optimizers else None,
        "loss_fn": training.loss_fn,
        "train_loader": training.train_loader,
        "val_loader": training.val_loader,
    }
    names = {part: name_of(value, namespace) for part, value in parts.items() if value is not None}
    code = rename(finding.remedy.code, {part: name for part, name in names.items() if name is not None})
    return f"# {finding.remedy.text}\n{code}"


def name_of(value: object, namespace: Mapping[str, Any]) -> str | None:
    """A variable's name for an object, or None."""
    names = (name for name, known in namespace.items() if known is value and not name.startswith("_"))
    return next(names, None)


def rename(code: str, names: Mapping[str, str]) -> str:
    """Replace identifiers in Python code, but not attributes or keyword arguments of the same name.

    Example:
        >>> rename("optimizer.step(optimizer=optimizer)", {"optimizer": "opt"})
        'opt.step(optimizer=opt)'
    """
    tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    lines = code.splitlines(keepends=True)
    depth, depths = 0, []
    for token in tokens:
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(token.string, 0)
        depths.append(depth)
    for index in range(len(tokens) - 1, -1, -1):
        token = tokens[index]
        if token.type != tokenize.NAME or token.string not in names:
            continue
        after_dot = index > 0 and tokens[index - 1].string == "."
        keyword = depths[index] > 0 and tokens[index + 1].string == "="
        if not after_dot and not keyword:
            row, start, end = token.start[0] - 1, token.start[1], token.end[1]
            lines[row] = lines[row][:start] + names[token.string] + lines[row][end:]
    return "".join(lines)
