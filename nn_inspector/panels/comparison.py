"""Several runs beside each other: losses, differences in their parameters, and what changed first."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets
from IPython.display import HTML, display

from nn_inspector.history.differences import differences
from nn_inspector.history.first_change import Change
from nn_inspector.live import prepare_host
from nn_inspector.panels.chart_image import png, png_tag
from nn_inspector.panels.chart_widget import ChartWidget
from nn_inspector.panels.comparison_charts import change, losses
from nn_inspector.panels.comparison_html import changes_html, differences_html, headline_html
from nn_inspector.panels.comparison_runs import AnyRun, ComparedRuns, Reference, compared_runs
from nn_inspector.panels.in_words import in_words, said_html
from nn_inspector.panels.style import STYLE, TEXT


class Comparison(ipywidgets.VBox):
    """The view of several runs; it shows itself as the result of a cell.

    Args:
        compared: the runs, and what they are compared with.
    """

    def __init__(self, compared: ComparedRuns) -> None:
        self._compared = compared
        self._changes: dict[int, list[Change]] = {}
        self._headline = ipywidgets.HTML()
        self._differences = ipywidgets.HTML()
        self._table = ipywidgets.HTML()
        self._log = ipywidgets.Checkbox(description="logarithmic", indent=False, layout={"width": "auto"})
        self._again = ipywidgets.Button(
            description="Read again",
            icon="refresh",
            tooltip="Ask runs that go on for their news",
            layout={"width": "auto", "flex": "0 0 auto"},
        )
        self.pick = ipywidgets.Dropdown(description="Show", layout={"width": "auto", "max_width": "100%"})
        nothing = change(compared, None, None)
        self._loss = ChartWidget(nothing)
        self._change = ChartWidget(nothing, empty="Nothing left the range of the reference.")
        self._log.observe(self._on_log, "value")
        self._again.on_click(lambda _: self.refresh())
        self.pick.observe(self._on_pick, "value")
        cards = [
            _card("Loss", self._log, self._loss),
            _card("What changed first", self.pick, self._change),
            self._differences,
            self._table,
        ]
        grid = ipywidgets.GridBox(
            cards,
            layout={
                "grid_template_columns": "repeat(auto-fit, minmax(max(min(400px, 100%), 40%), 1fr))",
                "grid_gap": "10px",
            },
        )
        head = ipywidgets.HBox([self._headline, self._again], layout={"justify_content": "space-between"})
        super().__init__([head, grid])
        self.add_class("nni-comparison")
        self.refresh()

    def refresh(self) -> None:
        """Ask the runs again: some may still go on."""
        self._changes = self._compared.changes()
        self._list_changes()
        self._differences.value = differences_html(self._compared.names, differences(self._compared.runs))
        self._draw_loss()
        self._on_pick()

    def close(self) -> None:
        """Close the widgets; the runs stay."""
        self._loss.close()
        self._change.close()
        super().close()

    def _ipython_display_(self) -> None:
        """Show the live view, and next to it the picture of it that a saved notebook shows without a kernel."""
        prepare_host()
        live = self._repr_mimebundle_()
        if live is not None:
            display({**live, "text/plain": "nn_inspector: runs compared"}, raw=True)
        words = headline_html(self._compared, self._changes) + self._differences.value
        display(HTML(static_html(self._compared, self._changes, words)))

    @property
    def _picked(self) -> tuple[int | None, Change | None]:
        return _all(self._changes)[self.pick.index] if self.pick.index is not None else (None, None)

    def _list_changes(self) -> None:
        options = tuple(_entry(self._compared, place, one) for place, one in _all(self._changes))
        if options != self.pick.options:
            kept = self.pick.value
            self.pick.options = options
            self.pick.value = kept if kept in options else next(iter(options), None)
        self.pick.layout.display = None if options else "none"

    def _on_pick(self, _: Any = None) -> None:
        place, what = self._picked
        self._change.update(change(self._compared, place, what))
        self._table.value = changes_html(self._changes[place]) if place is not None else ""
        self._write_headline()

    def _on_log(self, _: Any) -> None:
        self._draw_loss()
        self._write_headline()

    def _draw_loss(self) -> None:
        self._loss.update(losses(self._compared, log=self._log.value))

    def _write_headline(self) -> None:
        said = said_html([("Loss", self._loss.shown), ("What changed first", self._change.shown)])
        self._headline.value = STYLE + headline_html(self._compared, self._changes) + said


def open_comparison(runs: AnyRun | Sequence[AnyRun], reference: Reference = None) -> Comparison:
    """Make the view of several runs; see `nn_inspector.compare`."""
    return Comparison(compared_runs(runs, reference))


def static_html(compared: ComparedRuns, changes: dict[int, list[Change]], words: str) -> str:
    """The same as an image, and what is said beside it as HTML."""
    first = next(iter(_all(changes)), None)
    charts = [("Loss", losses(compared, log=False))]
    charts += [(f"What changed first: {compared.names[first[0]]}", change(compared, *first))] if first else []
    said = " ".join(f"{title}: {in_words(chart)}" for title, chart in charts)
    image = png_tag(png(charts, columns=len(charts)), said)
    return f'<div class="nni-static">{image}{words}</div>'


def _all(changes: dict[int, list[Change]]) -> list[tuple[int, Change]]:
    return [(place, one) for place, found in changes.items() for one in found]


def _entry(compared: ComparedRuns, place: int, one: Change) -> str:
    whose = f"{compared.names[place]}: " if len(compared.runs) > 2 else ""
    return f"{whose}{one.quantity.of(one.source)}, step {one.step:,}"


def _card(title: str, control: ipywidgets.Widget, *parts: ipywidgets.Widget) -> ipywidgets.VBox:
    name = ipywidgets.HTML(f'<b style="color: {TEXT}">{escape(title)}</b>', layout={"flex": "1 1 auto"})
    head = ipywidgets.HBox([name, control], layout={"flex_flow": "row wrap"})
    return ipywidgets.VBox([head, *parts], layout={"min_width": "0px", "overflow": "hidden"})
