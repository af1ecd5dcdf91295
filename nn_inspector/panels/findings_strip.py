"""What was found so far, above the panels, with a way from each finding to its evidence."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import ipywidgets

from nn_inspector.diagnosis import Diagnosis, ranked
from nn_inspector.history import Finding, Run
from nn_inspector.history.finding_html import badge_html, finding_html
from nn_inspector.panels.style import TEXT

MOST_CAUSES = 6
MOST_SYMPTOMS = 8
"""So many have a line or a button. All are made before the training: a widget that is made while a cell runs stays unseen."""


class FindingsStrip(ipywidgets.VBox):
    """The likely causes, one line each, which unfolds to the remedy; the symptoms by name.

    Args:
        run: whose findings.
        words: says of a finding what there is to be seen, in a few words.
        on_show: called with a finding whose evidence is to be shown.
    """

    def __init__(self, run: Run, words: Callable[[Finding], str], on_show: Callable[[Finding], None]) -> None:
        self._run = run
        self._words = words
        self._shown: list[Finding] = []
        self._causes = [_Cause(on_show) for _ in range(MOST_CAUSES)]
        self._symptoms = [_ShowButton(on_show) for _ in range(MOST_SYMPTOMS)]
        self._and = ipywidgets.HTML(f'<span style="color: {TEXT}">Symptoms:</span>')
        self._more = ipywidgets.HTML()
        self._line = ipywidgets.HBox([self._and, *self._symptoms, self._more], layout={"flex_flow": "row wrap"})
        super().__init__([*self._causes, self._line])
        self.add_class("nni-findings")
        self._show([], [])
        self.refresh()

    def refresh(self) -> None:
        """Show what was found by now."""
        findings = self._run.findings
        if findings == self._shown:
            return
        self._shown = findings
        diagnosis = Diagnosis(ranked(findings), {})
        causes = diagnosis.causes
        self._show(causes, [one for one in diagnosis.findings if one.raised and one not in causes])

    def _show(self, causes: list[Finding], symptoms: list[Finding]) -> None:
        for place, row in enumerate(self._causes):
            row.show(causes[place] if place < len(causes) else None, self._words)
        for place, button in enumerate(self._symptoms):
            symptom = symptoms[place] if place < len(symptoms) else None
            button.show(symptom, symptom.check if symptom is not None else "", self._words)
        _set_shown(self._and, bool(symptoms))
        _set_shown(self._line, len(causes) > MOST_CAUSES or bool(symptoms))
        left = {"cause": len(causes) - MOST_CAUSES, "symptom": len(symptoms) - MOST_SYMPTOMS}
        more = " and ".join(f"{count} more {word}{'s' * (count > 1)}" for word, count in left.items() if count > 0)
        self._more.value = f'<span style="color: {TEXT}">and {more}</span>' if more else ""


class _ShowButton(ipywidgets.Button):
    """Goes to the evidence of one finding."""

    def __init__(self, on_show: Callable[[Finding], None]) -> None:
        self._finding: Finding | None = None
        super().__init__(icon="search", layout={"width": "auto", "flex": "0 0 auto"})
        self.add_class("nni-show-evidence")
        self.on_click(lambda _: on_show(self._finding) if self._finding is not None else None)

    def show(self, finding: Finding | None, text: str, words: Callable[[Finding], str]) -> None:
        """Stand for this finding; for none it is not to be seen."""
        if self._finding is not None:
            self.remove_class(f"nni-check-{self._finding.check}")
        self._finding = finding
        _set_shown(self, finding is not None)
        if finding is not None:
            self.add_class(f"nni-check-{finding.check}")
            self.description = text
            self.tooltip = f"Show the evidence of {finding.check}: {words(finding) or 'the loss'}"


class _Cause(ipywidgets.HBox):
    """One line for a likely cause."""

    def __init__(self, on_show: Callable[[Finding], None]) -> None:
        self._text = ipywidgets.HTML(layout={"flex": "1 1 240px", "min_width": "0px"})
        self._button = _ShowButton(on_show)
        super().__init__([self._text, self._button], layout={"flex_flow": "row wrap", "align_items": "flex-start"})

    def show(self, finding: Finding | None, words: Callable[[Finding], str]) -> None:
        """Stand for this finding; for none it is not to be seen."""
        _set_shown(self, finding is not None)
        self._button.show(finding, "Show", words)
        if finding is not None:
            self._text.value = cause_html(finding)


def cause_html(finding: Finding) -> str:
    """A finding in one line, which unfolds to its remedy."""
    summary = f"{badge_html(finding.severity)} <code>{escape(finding.check)}</code> {escape(finding.message)}"
    body = finding_html(finding, with_message=False)
    return (
        f'<details style="line-height: 1.5; color: {TEXT}"><summary style="cursor: pointer">{summary}</summary>'
        f'<div style="margin-left: 16px">{body}</div></details>'
    )


def _set_shown(widget: ipywidgets.DOMWidget, shown: bool) -> None:
    widget.layout.display = None if shown else "none"
