"""The panels of one run together, with a static twin beside them for when no kernel is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import Any, Literal

import ipywidgets
from IPython.display import HTML, DisplayHandle, display

from nn_inspector.history import Finding, Run
from nn_inspector.live import prepare_host
from nn_inspector.panels.against import Against
from nn_inspector.panels.behind import Behind, behind
from nn_inspector.panels.card import Card
from nn_inspector.panels.chart_view import ChartView, chart_view
from nn_inspector.panels.choice import FIRST, GROUPS, PanelChoice, named_panels
from nn_inspector.panels.comparison_runs import AnyRun
from nn_inspector.panels.evidence import Whereabouts, whereabouts
from nn_inspector.panels.findings_strip import FindingsStrip
from nn_inspector.panels.in_words import said_html
from nn_inspector.panels.layers import run_layers
from nn_inspector.panels.panel import ItemSource, Selection
from nn_inspector.panels.selected_layer import LayerPicker, SelectedLayer
from nn_inspector.panels.static_twin import static_html
from nn_inspector.panels.style import STYLE, TEXT
from nn_inspector.panels.time_travel import TimeTravel


class RunDashboard(ipywidgets.VBox):
    """All panels of a run as a whole: one whose training is over, was killed, or goes on elsewhere.

    Args:
        run: what to show.
        layers: those that can be selected; None: those of which something was measured.
        beside: stands beside the line on how the run stands; None: a way to read the run again, if it may go on.
        behind: other runs, whose curves are drawn behind where a panel can.
        panels: names of those that are shown first.
    """

    def __init__(
        self,
        run: Run,
        layers: Sequence[str] | None = None,
        beside: ipywidgets.Widget | None = None,
        behind: Behind | None = None,
        panels: Sequence[str] = FIRST,
    ) -> None:
        self._run = run
        self._behind = behind
        self._against = Against(run, behind.runs if behind is not None else ())
        self._twins: list[DisplayHandle] = []
        self._twin_state: object = None
        self._header = ipywidgets.HTML(layout=ipywidgets.Layout(flex="1 1 240px", min_width="0px"))
        self._log_loss, self._log_metrics = _log_box("loss"), _log_box("metrics")
        self._layer = SelectedLayer()
        self._layers = list(layers) if layers is not None else run_layers(run)
        self._picker = LayerPicker(run, self._layers, self._layer)
        self._controls: dict[str, ipywidgets.Widget] = {"loss": self._log_loss, "metrics": self._log_metrics}
        self._charts: dict[str, ChartView] = {}
        self._cards: dict[str, Card] = {}
        self._holding = False
        self._later: list[str] = []
        self._asked: int | None = None
        self._choice = PanelChoice(self._on_choice, panels)
        self._findings = FindingsStrip(run, self._words, self.show_evidence)
        self._time = TimeTravel(run, self._on_time, lambda: self._is_training, self._is_heard)
        where = ipywidgets.HBox([self._time, self._picker, self._choice.opener], layout={"flex_flow": "row wrap"})
        self._grid = ipywidgets.GridBox(
            self._chosen_cards(),
            layout={
                "grid_template_columns": "repeat(auto-fit, minmax(max(min(400px, 100%), 40%), 1fr))",
                "grid_gap": "10px",
                "align_items": "flex-start",
            },
        )
        head = ipywidgets.HBox([self._header, beside or self._read_again_button()], layout={"flex_flow": "row wrap"})
        super().__init__([head, self._findings, where, self._choice, self._grid])
        self.add_class("nni-dashboard")
        for box in (self._log_loss, self._log_metrics):
            box.observe(self._on_selection, "value")
        self._layer.observe(self._on_selection, "name")
        self.refresh()

    def refresh(self) -> None:
        """Bring every panel up to date."""
        self._findings.refresh()
        self._time.refresh()
        if self._time.following:
            self._draw()
        self._write_header()

    def read_again(self) -> None:
        """Ask a run that goes on for its news."""
        self._layers = run_layers(self._run)
        self._picker.offer(self._layers)
        self.refresh()
        self._update_twins()

    def show_evidence(self, finding: Finding) -> None:
        """Go to where a finding can be seen: its step, its layer, and the panels that show it.

        While a training runs, panels that were never shown come after it: a widget that is made then stays unseen.
        """
        place = self._whereabouts(finding)
        panels = [panel.name for panel in place.panels] or ["loss"]
        ready = [name for name in panels if name in self._cards or not self._is_training]
        self._later = [name for name in panels if name not in ready]
        self._holding = True
        try:
            self._choice.add(ready)
            self._layer.name = place.layer
            if place.step is not None:
                self._time.go_to(place.step)
                self._asked = self._time.slider.value
        finally:
            self._holding = False
        self._on_choice()
        for card in self._cards.values():
            card.point_to(finding.check)

    def close(self) -> None:
        """Close the dashboard's widgets; the run stays."""
        for chart in self._charts.values():
            chart.close()
        super().close()

    @property
    def _is_training(self) -> bool:
        """Whether steps are being made now, in this kernel."""
        return False

    def _is_heard(self) -> bool:
        """Whether what is clicked reaches a running cell."""
        return False

    @property
    def _items(self) -> ItemSource | None:
        """Where items of the data are had from; nowhere, if the training's loader is not here."""
        return None

    def _standing(self) -> list[str]:
        """What is said of the run besides its numbers."""
        return [f"run {self._run.name}"]

    def _remarks(self) -> list[str]:
        """What else is to be known, each on a line of its own."""
        return []

    def _write_header(self) -> None:
        shown = None if self._time.following else int(self._time.slider.value)
        drawn = [panel for panel in self._choice.chosen if panel.name in self._charts]
        said = said_html((panel.title, self._charts[panel.name].shown) for panel in drawn)
        standing = self._standing()
        if self._behind is not None:
            several = "s" * (len(self._behind.names) > 1)
            standing = [*standing, f"in grey: run{several} {', '.join(self._behind.names)}"]
        against = self._against.html(trains=self._is_training)
        self._header.value = header_html(self._run, standing, self._remarks(), shown, against) + said

    def _read_again_button(self) -> ipywidgets.Widget:
        button = ipywidgets.Button(
            description="Read again",
            icon="refresh",
            tooltip="Ask for what has been measured since",
            layout={"width": "auto", "flex": "0 0 auto", "display": None if self._run.is_followed else "none"},
        )
        button.add_class("nni-read-again")
        button.on_click(lambda _: self.read_again())
        return button

    def _ipython_display_(self) -> None:
        """Show the live panels, and next to them the twin, which a front end without a kernel shows instead."""
        prepare_host()
        live = self._repr_mimebundle_()
        if live is not None:
            display({**live, "text/plain": "nn_inspector: live panels"}, raw=True)
        handle = display(HTML(self._twin()), display_id=True)
        if handle is not None:
            self._twins.append(handle)

    def _draw(self) -> None:
        """Every panel that is shown, at the step that was chosen."""
        if self._holding:
            return
        run = self._time.shown
        for panel in self._choice.chosen:
            self._charts[panel.name].update(panel.chart(run, self._selection))

    def _chosen_cards(self) -> list[Card]:
        """The cards of the chosen panels; each is made when it is first shown."""
        for panel in self._choice.chosen:
            if panel.name not in self._cards:
                picture = panel.chart(self._time.shown, self._selection)
                chart = chart_view(picture, on_layer=self._layer.toggle, on_event=self._on_event)
                self._charts[panel.name] = chart
                self._cards[panel.name] = Card(panel, chart, self._controls.get(panel.name))
        return [self._cards[panel.name] for panel in self._choice.chosen]

    def _whereabouts(self, finding: Finding) -> Whereabouts:
        return whereabouts(self._run, finding, self._layers, GROUPS.values())

    def _words(self, finding: Finding) -> str:
        return self._whereabouts(finding).words(self._run)

    def _on_event(self, check: str) -> None:
        finding = self._run.finding(check)
        if finding is not None:
            self.show_evidence(finding)

    @property
    def _selection(self) -> Selection:
        step = self._time.slider.value if not self._time.following or self._asked == self._time.slider.value else None
        log_loss, log_metrics = self._log_loss.value, self._log_metrics.value
        return Selection(self._layer.name, log_loss, log_metrics, step, self._behind, self._items)

    def _on_time(self) -> None:
        self._draw()
        self._write_header()

    def _on_selection(self, _: Any = None) -> None:
        self._draw()
        self._write_header()
        if not self._holding and not self._is_training:
            self._update_twins()

    def _on_choice(self) -> None:
        if not self._holding:
            self._grid.children = self._chosen_cards()
            self._on_selection()

    def _update_twins(self) -> None:
        """What a saved notebook shows. It takes its time, so that it is drawn rarely while a training runs."""
        state = (self._run.steps, replace(self._selection, step=None, items=None), tuple(self._choice.chosen))
        if state != self._twin_state:
            self._twin_state = state
            twin = HTML(self._twin()) if self._twins else None
            for handle in self._twins:
                handle.update(twin)

    def _twin(self) -> str:
        """Of the latest step, and without what was only looked up: it is saved with the notebook."""
        return static_html(self._run, replace(self._selection, step=None, items=None), self._choice.chosen)


def open_run_dashboard(
    run: Run, *, compare: AnyRun | Sequence[AnyRun] | None = None, panels: Sequence[str] | None = None
) -> RunDashboard:
    """Make the dashboard of a run; see `Run.dashboard`."""
    return RunDashboard(run, behind=behind(run, compare), panels=named_panels(panels))


def _log_box(panel: Literal["loss", "metrics"]) -> ipywidgets.Checkbox:
    """Chooses logarithms for a panel; the lab extension knows it by its class."""
    layout = {"width": "auto", "margin": "0 4px 0 auto"}
    box = ipywidgets.Checkbox(description="logarithmic", indent=False, layout=layout)
    box.add_class(f"nni-log-{panel}")
    return box


def header_html(
    run: Run, standing: Sequence[str] = (), remarks: Sequence[str] = (), shown: int | None = None, more: str = ""
) -> str:
    """One line on how a run stands, and below it what could not be measured and other remarks.

    Args:
        run: whose number of steps and latest losses are named.
        standing: what else the line says.
        remarks: each on a line of its own.
        shown: the step that the panels show, if it is not the latest. Steps are numbered from 0, as on the slider and the axes.
        more: HTML that comes last.
    """
    parts = [
        f"<b>{escape(str(run.parameters.get('model', 'A network')))}</b>",
        f"{run.steps:,} step{'s' * (run.steps != 1)}",
    ]
    epochs = run.epochs("train")
    parts += [f"epoch {epochs[-1].number + 1}"] if epochs else []
    for source, word in (("train", "loss"), ("validation", "validation loss")):
        value = run.last("loss", source)
        parts += [f"{word} {value:.4g}"] if value is not None else []
    parts += [escape(part) for part in standing]
    parts += [f"<b>shown: step {shown:,} (0 to {run.steps - 1:,})</b>"] if shown is not None else []
    lines = "".join(f"<div>▲ {escape(remark)}</div>" for remark in remarks)
    return f'{STYLE}<div style="line-height: 1.5; color: {TEXT}">{" · ".join(parts)}{lines}{more}</div>'
