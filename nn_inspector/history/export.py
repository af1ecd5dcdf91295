"""Runs for other programs: CSV and TensorBoard event files."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nn_inspector.errors import InspectorError
from nn_inspector.history.series_table import SeriesTable

_COLUMNS = ("step", "quantity", "source", "value", "low", "high", "count")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(path: Path, table: SeriesTable) -> None:
    """One row for each value; see `Run.to_csv`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(_COLUMNS)
        for quantity, source in table.names():
            rows.writerows(_rows(table, quantity, source))


def write_tensorboard(folder: Path, table: SeriesTable) -> None:
    """One tag `quantity/source` for each series of numbers; see `Run.to_tensorboard`."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra that few have
    except ImportError as error:
        raise InspectorError(
            "to_tensorboard: expected the package tensorboard, which is not installed. "
            'Install it: pip install "nn_inspector[tensorboard]".'
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    with SummaryWriter(str(folder)) as writer:
        for quantity, source in table.names():
            for part in table.everything(quantity, source):
                if part.values.ndim > 1:
                    break
                for step, value in zip(part.steps.tolist(), part.values.tolist(), strict=True):
                    writer.add_scalar(f"{quantity}/{source}", value, step)


def _rows(table: SeriesTable, quantity: str, source: str) -> Iterator[tuple[Any, ...]]:
    names = (_plain(quantity), _plain(source))
    for part in table.everything(quantity, source):
        columns = (part.steps.tolist(), part.values, part.low, part.high, part.counts.tolist())
        for step, value, low, high, count in zip(*columns, strict=True):
            yield step, *names, _text(value), _text(low), _text(high), count


def _text(value: np.ndarray) -> str:
    return " ".join(repr(number) for number in np.atleast_1d(value).tolist())


def _plain(name: str) -> str:
    return f"'{name}" if name.startswith(_FORMULA) else name
