"""What a panel is: one view of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from nn_inspector.history import Chart, Run


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user chose in the dashboard.

    Attributes:
        layer: the layer or block that is selected in all panels, or None.
        log_loss: whether the loss is shown on a logarithmic scale.
    """

    layer: str | None = None
    log_loss: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One view of a run. The same picture is drawn live and as a static twin.

    Attributes:
        name: short and unique.
        title: above the picture.
        healthy: what a healthy picture looks like, in one line.
        picture: makes the chart.
        checks: names of those whose findings can be seen here.
    """

    name: str
    title: str
    healthy: str
    picture: Callable[[Run, Selection], Chart]
    checks: tuple[str, ...] = ()

    def chart(self, run: Run, selection: Selection) -> Chart:
        """The picture; where it goes over steps, with a mark where a finding that can be seen in it was raised."""
        chart = self.picture(run, selection)
        if not chart.over_steps or chart.empty:
            return chart
        raised = [(run.raised_at(check), check) for check in self.checks]
        events = tuple((float(step), check) for step, check in raised if step is not None and step <= run.steps)
        return replace(chart, events=events)


def ask_for(probe: str, run: Run) -> str:
    """What is said where a panel shows what is measured only if it is asked for, and only of some networks."""
    return (
        f'Not measured. watch(..., probes="full") measures it (“{probe}”) in networks that have it.'
        if run.steps
        else ""
    )
