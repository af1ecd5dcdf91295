"""A picture described by data alone: drawn live by bqplot, and as an image by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Role = Literal["main", "faint", "points", "marks"]


@dataclass(frozen=True, slots=True)
class Curve:
    """One series of a chart.

    Attributes:
        x, y: float64 [points]; NaN leaves a gap.
        role: "main" is drawn in full, "faint" stands behind for comparison, "points" has a marker at each value,
            "marks" has nothing else.
        colour: its place among the colours; None leaves it to the order of the series.
        sign: a character or two at its end, which tell it apart where there are several of its role.
    """

    x: np.ndarray
    y: np.ndarray
    role: Role = "main"
    colour: int | None = None
    sign: str = ""


@dataclass(frozen=True, slots=True)
class Heat:
    """Numbers as colours: of a chart of rows, one line of cells for each label.

    Attributes:
        values: float64 [rows, columns]. What has no place has the darkest colour; first columns without any are left blank.
        stop: where the last column ends on the axis, which begins at 0; columns are as wide as each other.
        low, high: what the darkest and the brightest colour stand for.
        name: what the colours show, with its unit.
        log: whether the colours go by the logarithm; what is not above zero has no place.
    """

    values: np.ndarray
    stop: float
    low: float
    high: float
    name: str
    log: bool = False

    @property
    def blank(self) -> int:
        """How many first columns have nothing to show."""
        known = np.flatnonzero(np.isfinite(self.values).any(axis=0))
        return int(known[0]) if len(known) else self.values.shape[1]

    @property
    def shares(self) -> np.ndarray:
        """Where each value lies from `low` to `high`, from 0 to 1: float64 [rows, columns].

        Example:
            >>> Heat(np.array([[1.0, 10.0, 0.0]]), 3.0, 0.1, 10.0, "norm", log=True).shares.tolist()
            [[0.5, 1.0, 0.0]]
        """
        values, ends = np.array(self.values, dtype=np.float64), np.array([self.low, self.high])
        if self.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                values, ends = np.log10(values), np.log10(ends)
        shares = np.clip((values - ends[0]) / ((ends[1] - ends[0]) or 1.0), 0.0, 1.0)
        filled: np.ndarray = np.nan_to_num(shares, nan=0.0)
        return filled


@dataclass(frozen=True, slots=True)
class Chart:
    """What to draw.

    Attributes:
        kind: "lines" over a number; "bars" beside each other; "rows" has one row for each label, from top to bottom,
            with its value to the right; "matrix" has a cell for each pair of labels.
        x_label, y_label: what the axes show, with units.
        series: name -> curve. Of bars and rows, x is the position 0, 1, 2, ...
        labels: of the rows or bars; of bars, (position, text) pairs may be fewer than bars.
        layers: of rows that are about a layer each: its name in the model; of bars, that of the only one.
        classes: of rows that are about a class each, and of a matrix: its number.
        remarks: of rows: what stands at the right end of each.
        pictures: of rows: an image for each, uint8 [height, width] or [height, width, 3]; or none at all.
        heat: of rows: cells of a colour each, in place of values to the right.
        matrix: [labels, labels], from 0 to 1; the rows go down, the columns to the right.
        chosen: positions of the rows that are selected; if there are any, the others stand back.
        events: of a picture over steps: (step, what happened then), marked on the axis.
        found: of rows: (position, what was found there), marked at their beginning; also of a matrix and of bars.
        levels: name -> a value to compare with, drawn across the chart.
        band: a range of usual values, drawn behind, and its name.
        top: values above this are cut off, if given.
        log: whether values are shown on a logarithmic scale; what is not above zero is left out.
        note: what cannot be seen in the picture.
        alert: what must be read before the picture: it is not quite what was asked for.
    """

    kind: Literal["lines", "bars", "rows", "matrix"]
    x_label: str
    y_label: str
    series: Mapping[str, Curve]
    labels: tuple[tuple[float, str], ...] = ()
    layers: tuple[str, ...] = ()
    classes: tuple[int, ...] = ()
    remarks: tuple[str, ...] = ()
    pictures: tuple[np.ndarray, ...] = ()
    heat: Heat | None = None
    matrix: np.ndarray | None = None
    chosen: tuple[int, ...] = ()
    events: tuple[tuple[float, str], ...] = ()
    found: tuple[tuple[float, str], ...] = ()
    levels: Mapping[str, float] = field(default_factory=dict)
    band: tuple[float, float, str] | None = None
    top: float | None = None
    log: bool = False
    note: str = ""
    alert: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw yet."""
        if self.matrix is not None:
            return not self.matrix.any()
        if self.heat is not None:
            return not np.isfinite(self.heat.values).any()
        if self.remarks:
            return not self.labels  # rows say something without a value too
        return not any(np.isfinite(curve.y).any() for curve in self.series.values())

    @property
    def over_steps(self) -> bool:
        """Whether the steps of the training go from left to right."""
        return self.x_label == "step"


def curve(values: Sequence[float] | np.ndarray, role: Role = "main", every: int = 1) -> Curve:
    """Values over 0, 1, 2, ... times `every`.

    Example:
        >>> curve([3.0, 1.0]).x
        array([0., 1.])
    """
    y = np.asarray(values, dtype=np.float64)
    return Curve(np.arange(len(y), dtype=np.float64) * every, y, role)


def row_labels(names: Sequence[str]) -> tuple[tuple[float, str], ...]:
    """Labels for the positions 0, 1, 2, ..."""
    return tuple((float(position), name) for position, name in enumerate(names))
