"""What a place must answer in which the series of a run are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from nn_inspector.history.series import Series


class SeriesTable(Protocol):
    """Where the series of a run are: in memory or in a file."""

    def names(self) -> list[tuple[str, str]]: ...
    def series(self, quantity: str, source: str) -> Series: ...
    def everything(self, quantity: str, source: str) -> Iterator[Series]: ...
    def last(self, quantity: str, source: str) -> np.ndarray | None: ...
    def at(self, step: int) -> dict[tuple[str, str], np.ndarray]: ...
