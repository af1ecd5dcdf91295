"""One step of the wizard: the question, the check on the user's own model, its evidence, its remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets

from nn_inspector.checks import CheckInfo, find_check
from nn_inspector.guide.html import code_block, evidence_table, heading, notice, paragraph, verdict
from nn_inspector.history import Finding
from nn_inspector.history.finding_html import badge_html
from nn_inspector.panels.chart_widget import ChartWidget
from nn_inspector.panels.in_words import said_html


class StepPage(ipywidgets.VBox):
    """Shows one step.

    Args:
        on_run: makes the check of a name.
        on_check_cell: puts the check into a cell; returns what to tell the user.
        on_remedy_cell: puts the remedy of a finding into a cell; returns what to tell the user.
    """

    def __init__(
        self,
        on_run: Callable[[str], Finding],
        on_check_cell: Callable[[str], str],
        on_remedy_cell: Callable[[Finding], str],
    ) -> None:
        self._on_run, self._on_check_cell, self._on_remedy_cell = on_run, on_check_cell, on_remedy_cell
        self._info: CheckInfo | None = None
        self._finding: Finding | None = None
        self._question = ipywidgets.HTML()
        self._run = ipywidgets.Button(description="Run this check", button_style="primary", icon="play")
        self._check_cell = ipywidgets.Button(
            description="Put the check into a cell", icon="plus", layout={"width": "auto"}
        )
        self._remedy_cell = ipywidgets.Button(
            description="Put the remedy into a cell", icon="plus", layout={"width": "auto"}
        )
        self._verdict = ipywidgets.HTML()
        self._evidence = ipywidgets.VBox()
        self._remedy = ipywidgets.HTML()
        self._message = ipywidgets.HTML()
        self._run.on_click(lambda _: self.run())
        self._check_cell.on_click(self._put_check)
        self._remedy_cell.on_click(self._put_remedy)
        self._run.add_class("nni-run-check")
        self._check_cell.add_class("nni-put-check")
        self._remedy_cell.add_class("nni-put-remedy")
        self._verdict.add_class("nni-verdict")
        super().__init__(
            [
                self._question,
                ipywidgets.HBox([self._run, self._check_cell]),
                self._verdict,
                self._evidence,
                self._remedy,
                ipywidgets.HBox([self._remedy_cell]),
                self._message,
            ]
        )

    def show(self, info: CheckInfo, finding: Finding | None) -> None:
        """Show a step and what it found, if it was made."""
        self._info = info
        self._message.value = ""
        self._question.value = (
            heading(info.question) + paragraph(info.why, "Why it matters.") + paragraph(info.how, "How it is checked.")
        )
        self._show_finding(finding)

    def _show_finding(self, finding: Finding | None) -> None:
        self._finding = finding
        for chart in self._evidence.children:
            chart.close()
        self._evidence.children = ()
        self._run.description = "Run this check" if finding is None else "Run again"
        remedy = finding.remedy if finding is not None and finding.raised else None
        self._remedy_cell.layout.display = "" if remedy is not None else "none"
        self._remedy.value = self._verdict.value = ""
        if finding is None:
            return
        where = paragraph(finding.where, "Where:") if finding.where is not None and finding.raised else ""
        self._verdict.value = verdict(f"{badge_html(finding.severity)} {paragraph(finding.message)}{where}")
        chart = find_check(finding.check).chart(finding)
        drawn = [chart] if chart is not None and not chart.empty else []
        said = said_html(("Evidence", chart) for chart in drawn)
        parts: list[ipywidgets.Widget] = [ipywidgets.HTML(evidence_table(finding.evidence) + said)]
        parts += [ChartWidget(chart, height=220) for chart in drawn]
        self._evidence.children = tuple(parts)
        if remedy is not None:
            tried = paragraph(remedy.tried.text) if remedy.tried is not None else ""
            self._remedy.value = paragraph(remedy.text, "Remedy.") + tried + code_block(remedy.code)

    def run(self) -> None:
        """Make the check of the step that is shown."""
        assert self._info is not None, "a step is shown before it can be run"
        self._run.disabled, self._run.description = True, "Running …"
        self._message.value = ""
        try:
            self._show_finding(self._on_run(self._info.name))
        finally:
            self._run.disabled = False

    def _put_check(self, _: Any) -> None:
        assert self._info is not None
        self._message.value = notice(self._on_check_cell(self._info.name))

    def _put_remedy(self, _: Any) -> None:
        assert self._finding is not None
        self._message.value = notice(self._on_remedy_cell(self._finding))
