"""Another run behind the one that is shown: its curves in grey, as far as that one has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nn_inspector.history import Chart, Curve, Run
from nn_inspector.panels.comparison_runs import AnyRun, other_run

if TYPE_CHECKING:
    from nn_inspector.panels.panel import Selection

MOST_CURVES = 3
"""So many of a panel: each has a line of its own."""

_FAR = 5.0
"""A curve behind may reach so many times as high as those before it; above that it is cut off."""

Picture = Callable[[Run, "Selection"], Chart]


class Behind:
    """A run that others are seen against.

    Args:
        run: it may go on meanwhile.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._known: dict[tuple[Picture, Selection], tuple[int, Chart]] = {}

    def under(self, chart: Chart, picture: Picture, selection: Selection, steps: int) -> Chart:
        """A chart with the same curves of this run behind its own.

        Args:
            chart: of the run that is shown.
            picture: makes it.
            selection: which scale it has.
            steps: that the run that is shown has made.
        """
        curves, more = self._curves(picture, replace(selection, layer=None, step=None, items=None, behind=None), steps)
        if chart.empty or not curves:
            return chart
        top = chart.top if chart.top is not None else _top(chart, curves)
        notes = [chart.note]
        notes += [f"{more} more curve{'s' * (more > 1)} of {self.run.name} are not shown."] if more else []
        if top is not None and any(np.any(curve.y > top) for curve in curves.values()):
            notes.append(f"{self.run.name} goes beyond the picture, which ends at {top:.3g}.")
        return replace(chart, series={**chart.series, **curves}, top=top, note=" ".join(filter(None, notes)))

    def _curves(self, picture: Picture, selection: Selection, steps: int) -> tuple[dict[str, Curve], int]:
        """What stands in full in the picture of this run, up to a step; and how many more there are."""
        known = self._known.get((picture, selection))
        if known is None or known[0] != self.run.steps:
            known = self.run.steps, picture(self.run, selection)
            self._known[picture, selection] = known
        full = {
            name: curve for name, curve in known[1].series.items() if curve.role in ("main", "points") and len(curve.x)
        }
        cut = {f"{self.run.name}: {name}": _until(curve, steps) for name, curve in list(full.items())[:MOST_CURVES]}
        return {name: curve for name, curve in cut.items() if len(curve.x)}, max(len(full) - MOST_CURVES, 0)


def behind(run: Run, compare: AnyRun | None) -> Behind | None:
    """What a run is to be seen against; see `other_run`."""
    return Behind(other_run("compare", compare, run)) if compare is not None else None


def _until(curve: Curve, steps: int) -> Curve:
    keep = curve.x < steps
    return Curve(curve.x[keep], curve.y[keep], "faint")


def _top(chart: Chart, curves: dict[str, Curve]) -> float | None:
    if chart.log:
        return None
    own, others = (
        np.concatenate([curve.y[np.isfinite(curve.y)] for curve in some.values()]) for some in (chart.series, curves)
    )
    highest = float(own.max())
    return _FAR * highest if highest > 0 and len(others) and others.max() > _FAR * highest else None
