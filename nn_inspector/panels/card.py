"""One panel on the dashboard: its title, what is healthy, its chart, and its checks."""

from __future__ import annotations

from html import escape

import ipywidgets

from nn_inspector.panels.chart_view import ChartView
from nn_inspector.panels.check_links import checks_html
from nn_inspector.panels.panel import Panel
from nn_inspector.panels.style import TEXT


class Card(ipywidgets.VBox):
    """A panel with its heading.

    Args:
        panel: which.
        chart: its picture.
        control: what can be set about it, if anything.
    """

    def __init__(self, panel: Panel, chart: ChartView, control: ipywidgets.Widget | None = None) -> None:
        self._panel = panel
        self.chart = chart
        self._title = ipywidgets.HTML(layout={"flex": "1 1 auto"})
        healthy = ipywidgets.HTML(
            f'<div style="line-height: 1.3; font-size: 12px; color: {TEXT}">{escape(panel.healthy)}</div>'
        )
        head = ipywidgets.HBox([self._title, control] if control is not None else [self._title])
        checks = ipywidgets.HTML(checks_html((*panel.checks, *panel.related)))
        super().__init__([head, healthy, chart, checks], layout={"min_width": "0px", "overflow": "hidden"})
        self.point_to(None)

    def point_to(self, check: str | None) -> None:
        """Say that the evidence of a check is to be seen here, if it is; with None of no check."""
        check = check if check in self._panel.checks else None
        what = f" · evidence of <code>{escape(check)}</code>" if check is not None else ""
        self._title.value = f'<b style="color: {TEXT}">{escape(self._panel.title)}</b>{what}'
        (self.remove_class if check is None else self.add_class)("nni-evidence")
