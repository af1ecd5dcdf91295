"""What a panel is: one view of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from nn_inspector.history import Chart, Finding, Run
from nn_inspector.panels.behind import Behind
from nn_inspector.panels.found_rows import found_rows
from nn_inspector.panels.item_view import LookedUp

_FEW_STEPS, _MUCH = 50, 0.1
"""What was measured is old if it is more steps back than this, and more than this share of all of them."""


class ItemSource(Protocol):
    """Where items of the data set are had from."""

    def look_up(self, indices: Sequence[int]) -> LookedUp: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user chose in the dashboard.

    Attributes:
        layer: the layer or block that is selected in all panels, or None.
        log_loss, log_metrics: whether the loss, or what was logged, is shown on a logarithmic scale.
        step: the one that is asked for, or None for the latest.
        behind: other runs, whose curves are drawn behind where a panel can; None: none are.
        items: gives items of the data set for display; None where they must not be looked up, as in what is saved.
    """

    layer: str | None = None
    log_loss: bool = False
    log_metrics: bool = False
    step: int | None = None
    behind: Behind | None = None
    items: ItemSource | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """One view of a run. The same picture is drawn live and as a static twin.

    Attributes:
        name: short and unique.
        title: above the picture.
        healthy: what a healthy picture looks like, in one line.
        picture: makes the chart.
        checks: names of those whose findings can be seen here.
        related: names of those that ask after the same thing, and whose findings are seen elsewhere.
        comparable: whether another run's curves may stand behind its own.
        of_items: whether it shows items of the data; it is evidence beside any other panel.
        of_one_kind: whether its rows are layers of one kind; of a finding about one of these it is the evidence.
    """

    name: str
    title: str
    healthy: str
    picture: Callable[[Run, Selection], Chart]
    checks: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    comparable: bool = False
    of_items: bool = False
    of_one_kind: bool = False

    def chart(self, run: Run, selection: Selection) -> Chart:
        """The picture; where it goes over steps, with a mark when a finding that can be seen in it was raised.

        Rows of layers, classes or items that such a finding is about have a mark as well.

        Where it is of one step, that one is named if it is not one of the latest, and findings that have no row are named below.
        """
        chart = self.picture(run, selection)
        if self.comparable and selection.behind is not None:
            chart = selection.behind.under(chart, self.picture, selection, run.steps)
        if chart.empty:
            return chart
        raised = [
            (step, check) for check in self.checks if (step := run.raised_at(check)) is not None and step <= run.steps
        ]
        findings = [finding for _, check in raised if (finding := run.finding(check)) is not None]
        chart = replace(chart, found=found_rows(chart, findings))
        if not chart.over_steps:
            return replace(
                chart, note=" ".join(filter(None, (chart.note, _unmarked(chart, findings), _age(chart, run))))
            )
        return replace(chart, events=tuple((float(step), check) for step, check in raised))


def _unmarked(chart: Chart, findings: Sequence[Finding]) -> str:
    """What was found and has no mark here: it is about the whole, or about what the picture has no row of."""
    marked = {check for _, check in chart.found}
    named = [f"{one.check} ({one.where})" if one.where else one.check for one in findings if one.check not in marked]
    return f"▲ Found: {', '.join(named)}." if named else ""


def _age(chart: Chart, run: Run) -> str:
    """Layers are not looked at in every step: what is shown may be older than one thinks."""
    measured = run.sources("gradient_norm") if chart.layers or chart.kind == "bars" else []
    if not measured:
        return ""
    last = int(run.series("gradient_norm", measured[0]).steps[-1])
    is_old = run.steps - 1 - last > max(_FEW_STEPS, _MUCH * run.steps)
    return f"Measured last at step {last:,}." if is_old else ""


def ask_for(probe: str, run: Run) -> str:
    """What is said where a panel shows what is measured only if it is asked for, and only of some networks."""
    return (
        f'Not measured. watch(..., probes="full") measures it (“{probe}”) in networks that have it.'
        if run.steps
        else ""
    )
