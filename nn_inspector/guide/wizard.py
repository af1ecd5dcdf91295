"""The debug wizard: the checklist step by step, as a widget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ipywidgets
from IPython.core.getipython import get_ipython

from nn_inspector.guide.html import code_block, title
from nn_inspector.guide.setup_form import SetupForm
from nn_inspector.guide.step_list import StepList
from nn_inspector.guide.step_page import StepPage
from nn_inspector.guide.steps import Progress
from nn_inspector.history import Finding
from nn_inspector.inspector import Inspector
from nn_inspector.live import connect
from nn_inspector.panels.style import STYLE
from nn_inspector.snippets import check_cell, remedy_cell
from nn_inspector.watching import current_inspector

_BUDGET = 60.0
"""Seconds for all steps together."""


class Wizard(ipywidgets.VBox):
    """Walks through the checklist.

    Args:
        inspector: what watches the training, or None to choose the objects first.
        namespace: the notebook's variables.
    """

    def __init__(self, inspector: Inspector | None, namespace: Mapping[str, Any]) -> None:
        self._inspector = inspector
        self._namespace = namespace
        self._connection = connect()
        self.progress = Progress()
        self._title = ipywidgets.HTML()
        self._page = StepPage(self._make_check, self._put_check, self._put_remedy)
        self._steps = StepList(self.progress, self._go, self._make_stage)
        self._all = ipywidgets.Button(description="Run all steps", icon="fast-forward", layout={"width": "auto"})
        self._all.tooltip = "A minute at most. The likeliest cause is opened then."
        self._all.add_class("nni-run-all")
        self._all.on_click(self._make_all)
        self._back = ipywidgets.Button(description="Back", icon="arrow-left")
        self._next = ipywidgets.Button(description="Next", icon="arrow-right")
        self._back.on_click(lambda _: self._go(self.progress.position - 1))
        self._next.on_click(lambda _: self._go(self.progress.position + 1))
        self._next.add_class("nni-next")
        self._insertion = ipywidgets.HTML()
        body = ipywidgets.VBox(
            [self._page, self._insertion, ipywidgets.HBox([self._back, self._next, self._all])],
            layout={"flex": "1 1 380px", "min_width": "0px", "padding": "0 0 0 12px"},
        )
        self._checklist = ipywidgets.HBox([self._steps, body], layout={"flex_flow": "row wrap"})
        super().__init__([self._title])
        self.add_class("nni-wizard")
        if inspector is None:
            self.children = [self._title, SetupForm(namespace, self._begin)]
            self._title.value = self._headline()
        else:
            self._begin(inspector)

    def _begin(self, inspector: Inspector) -> None:
        self._inspector = inspector
        for finding in inspector.findings:
            self.progress.record(finding)
        self.children = [self._title, self._checklist]
        self._go(0)

    def _go(self, position: int) -> None:
        self.progress.go(position)
        self._insertion.value = ""
        self._page.show(self.progress.step, self.progress.finding)
        self._refresh()

    def _refresh(self) -> None:
        self._title.value = self._headline()
        self._back.disabled, self._next.disabled = self.progress.is_first, self.progress.is_last
        self._steps.refresh()

    def _headline(self) -> str:
        model = f" · {self._inspector.run.parameters['model']}" if self._inspector is not None else ""
        return f"{STYLE}{title('Debug wizard')}{model} · {self.progress.summary()}"

    def _make_check(self, name: str) -> Finding:
        finding = self._watching.check(name)
        self._note([finding])
        return finding

    def _make_stage(self, stage: str) -> None:
        """Make the steps of a stage one after the other, each shown while it is made."""
        for index, step in enumerate(self.progress.steps):
            if step.stage == stage:
                self._go(index)
                self._page.run()

    def _make_all(self, _: Any) -> None:
        self._all.disabled, self._all.description = True, "Running …"
        try:
            diagnosis = self._watching.diagnose(budget=_BUDGET)
            self._note(diagnosis.findings)
            causes = [finding.check for finding in diagnosis.causes]
            names = [step.name for step in self.progress.steps]
            self._go(names.index(causes[0]) if causes and causes[0] in names else self.progress.position)
        finally:
            self._all.disabled, self._all.description = False, "Run all steps"

    def _note(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self.progress.record(finding)
        self._refresh()
        if self._connection is not None:
            self._connection.send_snapshot()

    @property
    def _watching(self) -> Inspector:
        assert self._inspector is not None, "steps are shown once there is an inspector"
        return self._inspector

    def _put_check(self, name: str) -> str:
        return self._insert(check_cell(name, self._inspector, self._namespace))

    def _put_remedy(self, finding: Finding) -> str:
        return self._insert(remedy_cell(finding, self._watching, self._namespace))

    def _insert(self, source: str) -> str:
        if self._connection is not None and self._connection.insert_cell(source):
            self._insertion.value = ""
            return "Put into a new cell below."
        self._insertion.value = code_block(source)
        return "This front end has no nn_inspector extension that could insert a cell. Copy the code from here."


def open_wizard(inspector: Inspector | None = None) -> Wizard:
    """Make the wizard for an inspector, or for the one that `watch()` made last, or for objects still to be chosen."""
    shell = get_ipython()
    return Wizard(inspector or current_inspector(), shell.user_ns if shell is not None else {})
