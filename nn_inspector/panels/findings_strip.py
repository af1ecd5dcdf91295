"""What was found so far, above the panels."""

from __future__ import annotations

from html import escape

import ipywidgets

from nn_inspector.diagnosis import Diagnosis, ranked
from nn_inspector.history import Finding, Run
from nn_inspector.history.finding_html import badge_html, finding_html
from nn_inspector.panels.chart_widget import TEXT


class FindingsStrip(ipywidgets.HTML):
    """The likely causes, one line each, which unfolds to the remedy; the symptoms by name.

    Args:
        run: whose findings.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.add_class("nni-findings")
        self._run = run
        self._shown = ""
        self.refresh()

    def refresh(self) -> None:
        """Show what was found by now."""
        html = strip_html(self._run.findings)
        if html != self._shown:
            self._shown = self.value = html


def strip_html(findings: list[Finding]) -> str:
    """The findings that were raised; nothing if there are none."""
    diagnosis = Diagnosis(ranked(findings), {})
    causes = diagnosis.causes
    if not causes:
        return ""
    symptoms = [finding.check for finding in diagnosis.findings if finding.raised and finding not in causes]
    lines = [_line(cause) for cause in causes]
    if symptoms:
        lines.append(f"<div>Symptoms: {escape(', '.join(symptoms))}.</div>")
    return f'<div style="line-height: 1.5; color: {TEXT}">{"".join(lines)}</div>'


def _line(finding: Finding) -> str:
    summary = f"{badge_html(finding.severity)} <code>{escape(finding.check)}</code> {escape(finding.message)}"
    body = finding_html(finding, with_message=False)
    return f'<details><summary style="cursor: pointer">{summary}</summary><div style="margin-left: 16px">{body}</div></details>'
