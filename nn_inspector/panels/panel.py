"""What a panel is: one view of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
    """

    name: str
    title: str
    healthy: str
    picture: Callable[[Run, Selection], Chart]
