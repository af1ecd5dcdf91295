"""The panels together, live below a cell, with a static twin beside them for when no kernel is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets
from IPython.display import HTML, DisplayHandle, display

from nn_inspector.history import Finding, Run
from nn_inspector.inspector import Inspector
from nn_inspector.live import PAGES, Publisher, Wishes, connect, follow_findings, is_place, is_whole, prepare_host
from nn_inspector.panels.card import Card
from nn_inspector.panels.chart_image import png, png_tag
from nn_inspector.panels.chart_view import ChartView, chart_view
from nn_inspector.panels.choice import FIRST, GROUPS, PANELS, PanelChoice
from nn_inspector.panels.evidence import Whereabouts, whereabouts
from nn_inspector.panels.findings_strip import FindingsStrip
from nn_inspector.panels.layers import model_layers
from nn_inspector.panels.panel import Panel, Selection
from nn_inspector.panels.selected_layer import LayerPicker, SelectedLayer
from nn_inspector.panels.steering_buttons import NO_LIVE_PATH, SteeringButtons
from nn_inspector.panels.style import STYLE, TEXT
from nn_inspector.panels.time_travel import TimeTravel
from nn_inspector.probes import DENSE_STEPS


class Dashboard(ipywidgets.VBox):
    """All panels of one inspector.

    Args:
        inspector: whose run to show.
    """

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector
        self._twins: list[DisplayHandle] = []
        self._twin_state: object = None
        self._header = ipywidgets.HTML(layout=ipywidgets.Layout(flex="1 1 auto"))
        self._steering = SteeringButtons(inspector, self.refresh)
        self._log_loss = ipywidgets.Checkbox(
            description="logarithmic", indent=False, layout={"width": "auto", "margin": "0 4px 0 auto"}
        )
        self._log_loss.add_class("nni-log-loss")
        self._layer = SelectedLayer()
        self._layers = model_layers(inspector)
        self._picker = LayerPicker(inspector.run, self._layers, self._layer)
        self._controls: dict[str, ipywidgets.Widget] = {"loss": self._log_loss}
        self._charts: dict[str, ChartView] = {}
        self._cards: dict[str, Card] = {}
        self._holding = False
        self._later: list[str] = []
        self._choice = PanelChoice(self._on_choice)
        self._findings = FindingsStrip(inspector.run, self._words, self.show_evidence)
        self._connection = connect()
        self._time = TimeTravel(inspector.run, self._draw, lambda: inspector.is_training, self._is_heard)
        where = ipywidgets.HBox([self._time, self._picker, self._choice.opener], layout={"flex_flow": "row wrap"})
        self._grid = ipywidgets.GridBox(
            self._chosen_cards(),
            layout={
                "grid_template_columns": "repeat(auto-fit, minmax(max(min(400px, 100%), 40%), 1fr))",
                "grid_gap": "10px",
                "align_items": "flex-start",
            },
        )
        head = ipywidgets.HBox([self._header, self._steering])
        super().__init__([head, self._findings, where, self._choice, self._grid])
        self._wishes = Wishes(self._hasten)
        self.add_class("nni-dashboard")
        self.add_class(f"nni-board-{self._wishes.key}")
        self._log_loss.observe(self._on_selection, "value")
        self._layer.observe(self._on_selection, "name")
        self._publisher = Publisher(inspector)
        self._publisher.add(self._tick)
        follow_findings(inspector)
        if self._connection is not None:
            self._connection.add(self._after_cell)
        self.refresh()

    def refresh(self) -> None:
        """Bring every panel up to date."""
        unheard = self._connection is not None and not self._is_heard() and self._inspector.is_training
        self._header.value = header_html(self._inspector, (NO_LIVE_PATH,) if unheard else ())
        self._steering.refresh()
        self._findings.refresh()
        self._time.refresh()
        if self._time.following:
            self._draw()

    def show_evidence(self, finding: Finding) -> None:
        """Go to where a finding can be seen: its step, its layer, and the panels that show it.

        While a training runs, panels that were never shown come after it: a widget that is made then stays unseen.
        """
        place = self._whereabouts(finding)
        panels = [panel.name for panel in place.panels] or ["loss"]
        ready = [name for name in panels if name in self._cards or not self._inspector.is_training]
        self._later = [name for name in panels if name not in ready]
        self._holding = True
        try:
            self._choice.add(ready)
            self._layer.name = place.layer
            if place.step is not None:
                self._time.go_to(place.step)
        finally:
            self._holding = False
        self._on_choice()
        for card in self._cards.values():
            card.point_to(finding.check)

    def _tick(self) -> None:
        self._grant_wishes()
        if not PAGES.is_hidden:
            self.refresh()
            if self._time.playing_along:
                self._inspector.renew_views()

    def _is_heard(self) -> bool:
        """Whether what is clicked reaches a running cell."""
        return self._connection is not None and self._connection.heard

    def _hasten(self) -> None:
        self._publisher.hasten()
        self._inspector.renew_views()

    def _grant_wishes(self) -> None:
        for wish in self._wishes.take():
            self._grant(wish)

    def _grant(self, wish: Mapping[str, Any]) -> None:
        """What a page has asked for while a cell runs: it may be of a state that is gone by now."""
        check, step, by, play, log_loss = (wish.get(name) for name in ("check", "step", "by", "play", "log_loss"))
        option, chart, row = (wish.get(name) for name in ("option", "chart", "row"))
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
        elif is_place(option):
            self._picker.choose(option)
        elif is_place(chart) and is_place(row):
            shown = [self._charts[panel.name] for panel in self._choice.chosen]
            layers = shown[chart].layers if chart < len(shown) else ()
            if row < len(layers):
                self._layer.toggle(layers[row])

    def close(self) -> None:
        """Close the dashboard's widgets; the run stays."""
        self._publisher.close()
        if self._connection is not None:
            self._connection.remove(self._after_cell)
        for chart in self._charts.values():
            chart.close()
        super().close()

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
        return whereabouts(self._inspector.run, finding, self._layers, GROUPS.values())

    def _words(self, finding: Finding) -> str:
        return self._whereabouts(finding).words(self._inspector.run)

    def _on_event(self, check: str) -> None:
        finding = self._inspector.run.finding(check)
        if finding is not None:
            self.show_evidence(finding)

    @property
    def _selection(self) -> Selection:
        return Selection(layer=self._layer.name, log_loss=self._log_loss.value)

    def _on_selection(self, _: Any = None) -> None:
        self._draw()
        if not self._holding and not self._inspector.is_training:
            self._update_twins()

    def _on_choice(self) -> None:
        if not self._holding:
            self._grid.children = self._chosen_cards()
            self._on_selection()

    def _after_cell(self) -> None:
        self._grant_wishes()
        later, self._later = self._later, []
        self._choice.add(later)
        self.refresh()
        self._update_twins()

    def _update_twins(self) -> None:
        """What a saved notebook shows. It takes its time, so that it is drawn while no training runs."""
        state = (self._inspector.run.steps, self._selection, tuple(self._choice.chosen))
        if state != self._twin_state:
            self._twin_state = state
            twin = HTML(self._twin()) if self._twins else None
            for handle in self._twins:
                handle.update(twin)

    def _twin(self) -> str:
        return static_html(self._inspector.run, self._selection, self._choice.chosen)


def open_dashboard(inspector: Inspector, *, show: bool = False) -> Dashboard:
    """Make the dashboard of an inspector.

    Args:
        inspector: whose run to show.
        show: display it now; otherwise it shows itself as the result of a cell.
    """
    dashboard = Dashboard(inspector)
    if show:
        display(dashboard)
    return dashboard


def header_html(inspector: Inspector, remarks: Sequence[str] = ()) -> str:
    """One line on how the training stands, and below it what could not be measured and other remarks."""
    run = inspector.run
    parts = [f"<b>{escape(str(run.parameters['model']))}</b>", f"step {run.steps:,}"]
    epochs = run.epochs("train")
    parts += [f"epoch {epochs[-1].number + 1}"] if epochs else []
    for source, word in (("train", "loss"), ("validation", "validation loss")):
        value = run.last("loss", source)
        parts += [f"{word} {value:.4g}"] if value is not None else []
    if run.steps > DENSE_STEPS:
        parts.append(f"watching costs {inspector.overhead.share:.1%}")
    problems = "".join(f"<div>▲ {escape(problem)}</div>" for problem in (*inspector.problems, *remarks))
    return f'{STYLE}<div style="line-height: 1.5; color: {TEXT}">{" · ".join(parts)}{problems}</div>'


def static_html(run: Run, selection: Selection, panels: Sequence[Panel] = ()) -> str:
    """The same pictures as an image, with the latest numbers and findings; nothing before the first step."""
    if run.steps == 0:
        return '<div class="nni-static"></div>'
    shown = panels or [panel for panel in PANELS if panel.name in FIRST]
    charts = [(panel.title, panel.chart(run, selection)) for panel in shown]
    image = png_tag(png(charts), ", ".join(panel.title for panel in shown))
    numbers = {"steps": f"{run.steps:,}"}
    for source, word in (("train", "train loss"), ("validation", "validation loss")):
        value = run.last("loss", source)
        if value is not None:
            numbers[word] = f"{value:.4g}"
    numbers |= {finding.check: f"{finding.severity}: {finding.message}" for finding in run.findings}
    rows = "".join(
        f'<tr><th style="text-align: left">{escape(k)}</th><td style="text-align: left">{escape(v)}</td></tr>'
        for k, v in numbers.items()
    )
    return f'<div class="nni-static">{image}<table>{rows}</table></div>'
