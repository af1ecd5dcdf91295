"""The panels of a training together, live below a cell, with what steers it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from IPython.display import display

from nn_inspector.inspector import Inspector
from nn_inspector.live import PAGES, RARE, Publisher, Wishes, connect, follow_findings, is_place, is_whole
from nn_inspector.panels.behind import Behind, behind
from nn_inspector.panels.choice import FIRST, named_panels
from nn_inspector.panels.comparison_runs import AnyRun
from nn_inspector.panels.data_items import DataItems
from nn_inspector.panels.layers import model_layers
from nn_inspector.panels.run_dashboard import RunDashboard
from nn_inspector.panels.steering_buttons import NO_LIVE_PATH, SteeringButtons
from nn_inspector.probes import DENSE_STEPS

KEEPING = 0.1
"""Drawing what a saved notebook shows may use this much of the overhead budget: a picture of four panels takes about a second."""

_KEPT_EVERY = 120.0
"""Seconds between two such pictures at the least: JupyterLab saves a notebook by itself as often."""

_KEPT_AT_PAUSE = 10.0
"""A picture that is not older is good enough for a training that is paused or makes one step."""


class Dashboard(RunDashboard):
    """All panels of one inspector.

    Args:
        inspector: whose run to show.
        behind: other runs, whose curves are drawn behind where a panel can.
        panels: names of those that are shown first.
    """

    def __init__(self, inspector: Inspector, behind: Behind | None = None, panels: Sequence[str] = FIRST) -> None:
        self._inspector = inspector
        self._data_items = DataItems(inspector)
        self._connection = connect()
        PAGES.wake()
        self._steering = SteeringButtons(inspector, self._clicked, self._is_reached)
        self._wishes = Wishes(self._hasten)
        self._publisher = Publisher(inspector)
        self._keeper = Publisher(inspector, share=KEEPING, interval=_KEPT_EVERY)
        self._kept = -math.inf
        super().__init__(inspector.run, model_layers(inspector), self._steering, behind, panels)
        self.add_class(f"nni-board-{self._wishes.key}")
        self._publisher.add(self._tick)
        self._keeper.add(self._keep)
        follow_findings(inspector)
        if self._connection is not None:
            self._connection.add(self._after_cell)

    def refresh(self) -> None:
        """Bring every panel up to date."""
        self._drawn = time.monotonic()
        self._steering.refresh()
        self._choice.say_that_clicks_wait(self._is_training and self._clicks_wait())
        super().refresh()

    def close(self) -> None:
        """Close the dashboard's widgets; the run stays."""
        self._publisher.close()
        self._keeper.close()
        self._wishes.close()
        if self._connection is not None:
            self._connection.remove(self._after_cell)
        super().close()

    @property
    def _is_training(self) -> bool:
        return self._inspector.is_training

    @property
    def _items(self) -> DataItems:
        return self._data_items

    def _is_heard(self) -> bool:
        return self._connection is not None and self._connection.heard

    def _standing(self) -> list[str]:
        inspector = self._inspector
        groups = inspector.run.sources("learning_rate")
        rate = inspector.run.last("learning_rate", groups[0]) if groups else None
        said = [f"learning rate {rate:.3g}{' of the first group' * (len(groups) > 1)}"] if rate is not None else []
        if inspector.run.steps > DENSE_STEPS:
            said.append(f"watching costs {inspector.overhead.share:.1%}")
        if self._is_training and self._publisher.pause >= RARE:
            said.append(
                f"panels follow every {self._publisher.pause:.0f} s, to cost {inspector.max_overhead:.0%} at the most"
            )
        return said

    def _remarks(self) -> list[str]:
        unreached = self._is_training and not self._is_reached()
        return [*self._inspector.problems, *([NO_LIVE_PATH] if unreached else [])]

    def _is_reached(self) -> bool:
        """Whether what is clicked is obeyed while a training runs; one in a thread of its own needs no extension."""
        return not self._clicks_wait() or self._is_heard()

    def _clicks_wait(self) -> bool:
        """Whether the messages of widgets wait until a cell has ended."""
        return self._connection is not None and self._connection.runs_cell

    def _clicked(self) -> None:
        PAGES.wake()
        self.refresh()

    def _tick(self) -> None:
        self._grant_wishes()
        if PAGES.is_due(self._drawn):
            self.refresh()
            if self._time.playing_along:
                self._inspector.renew_views()

    def _keep(self) -> None:
        """Draw what a saved notebook shows: the kernel may not live to see the end of the cell."""
        now, is_paused = time.monotonic(), self._inspector.is_paused
        is_old = now - self._kept >= _KEPT_AT_PAUSE if is_paused else self._run.steps > DENSE_STEPS
        if is_old and PAGES.is_worth_keeping(self._kept):
            self._kept = now
            self._update_twins()

    def _hasten(self) -> None:
        self._publisher.hasten()
        self._inspector.renew_views()

    def _grant_wishes(self) -> None:
        for wish in self._wishes.take():
            self._grant(wish)

    def _grant(self, wish: Mapping[str, Any]) -> None:
        """What a page has asked for while a cell runs: it may be of a state that is gone by now."""
        check, step, by, play = (wish.get(name) for name in ("check", "step", "by", "play"))
        log_loss, log_metrics = wish.get("log_loss"), wish.get("log_metrics")
        if isinstance(check, str):
            self._on_event(check)
        elif step == "latest":
            self._time.follow()
        elif is_place(step):
            self._time.go_to(step)
        elif is_whole(by):
            self._time.go_to(self._time.slider.value + by)
        elif isinstance(play, bool):
            (self._time.play_along if play else self._time.stop_playing_along)()
        elif isinstance(log_loss, bool):
            self._log_loss.value = log_loss
        elif isinstance(log_metrics, bool):
            self._log_metrics.value = log_metrics
        else:
            self._pick_layer(wish)

    def _pick_layer(self, wish: Mapping[str, Any]) -> None:
        option, find, chart, row = (wish.get(name) for name in ("option", "find", "chart", "row"))
        if is_place(option):
            self._picker.choose(option)
        elif isinstance(find, str):
            self._picker.find.value = find
        elif is_place(chart) and is_place(row):
            shown = [self._charts[panel.name] for panel in self._choice.chosen]
            layers = shown[chart].layers if chart < len(shown) else ()
            if row < len(layers):
                self._layer.toggle(layers[row])

    def _after_cell(self) -> None:
        self._grant_wishes()
        later, self._later = self._later, []
        self._choice.add(later)
        self.refresh()
        if not self._time.following:
            self._draw()
        self._update_twins()


def open_dashboard(
    inspector: Inspector,
    *,
    show: bool = False,
    compare: AnyRun | Sequence[AnyRun] | None = None,
    panels: Sequence[str] | None = None,
) -> Dashboard:
    """Make the dashboard of an inspector.

    Args:
        inspector: whose run to show.
        show: display it now; otherwise it shows itself as the result of a cell.
        compare: another run, or up to three in a list, whose curves are drawn behind where a panel can.
        panels: names of those that are shown first; None: the usual ones.
    """
    dashboard = Dashboard(inspector, behind(inspector.run, compare), named_panels(panels))
    if show:
        display(dashboard)
    return dashboard
