"""Other runs behind the one that is shown: their curves in grey, as far as that one has come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nn_inspector.history import Chart, Curve, Run
from nn_inspector.panels.comparison_runs import AnyRun, other_runs

if TYPE_CHECKING:
    from nn_inspector.panels.panel import Selection

MOST_CURVES = 3
"""So many of a panel, of one run or of so many: each has a line of its own."""

_FAR = 5.0
"""A curve behind may reach so many times as high as those before it; above that it is cut off."""

Picture = Callable[[Run, "Selection"], Chart]


class Behind:
    """Runs that another is seen against.

    Args:
        runs: at most `MOST_CURVES`. They may go on meanwhile.

    Attributes:
        names: of the runs, with a number where two have the same.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = tuple(runs)
        names = [run.name for run in runs]
        self.names = tuple(
            f"{number} {name}" if names.count(name) > 1 else name for number, name in enumerate(names, 1)
        )
        self._known: dict[tuple[int, Picture, Selection], tuple[int, Chart]] = {}

    def under(self, chart: Chart, picture: Picture, selection: Selection, steps: int) -> Chart:
        """A chart with the same curves of these runs behind its own.

        Args:
            chart: of the run that is shown.
            picture: makes it.
            selection: which scale it has.
            steps: that the run that is shown has made.
        """
        plain = replace(selection, layer=None, step=None, items=None, behind=None)
        of_runs = [self._curves(place, picture, plain, steps) for place in range(len(self.runs))]
        every = {name: curve for curves, _ in of_runs for name, curve in curves.items()}
        if chart.empty or not every:
            return chart
        top = chart.top if chart.top is not None else _top(chart, every)
        notes = [chart.note]
        for name, (curves, more) in zip(self.names, of_runs, strict=True):
            notes += [f"{more} more curve{'s' * (more > 1)} of {name} are not shown."] if more else []
            if top is not None and any(np.any(curve.y > top) for curve in curves.values()):
                notes.append(f"{name} goes beyond the picture, which ends at {top:.3g}.")
        return replace(chart, series={**chart.series, **every}, top=top, note=" ".join(filter(None, notes)))

    def _curves(self, place: int, picture: Picture, selection: Selection, steps: int) -> tuple[dict[str, Curve], int]:
        """What stands in full in the picture of one of the runs, up to a step; and how many more there are."""
        run, most = self.runs[place], MOST_CURVES // len(self.runs)
        known = self._known.get((place, picture, selection))
        if known is None or known[0] != run.steps:
            known = run.steps, picture(run, selection)
            self._known[place, picture, selection] = known
        full = {
            name: curve for name, curve in known[1].series.items() if curve.role in ("main", "points") and len(curve.x)
        }
        cut = {f"{self.names[place]}: {name}": _until(curve, steps) for name, curve in list(full.items())[:most]}
        return {name: curve for name, curve in cut.items() if len(curve.x)}, max(len(full) - most, 0)


def behind(run: Run, compare: AnyRun | Sequence[AnyRun] | None) -> Behind | None:
    """What a run is to be seen against; see `other_runs`."""
    return Behind(other_runs("compare", compare, run, MOST_CURVES)) if compare is not None else None


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
