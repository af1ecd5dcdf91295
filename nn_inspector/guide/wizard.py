"""The debug wizard: the checklist step by step, as a widget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets
from IPython.core.getipython import get_ipython

from nn_inspector.guide.html import code_block
from nn_inspector.guide.setup_form import SetupForm
from nn_inspector.guide.step_page import StepPage
from nn_inspector.guide.steps import Progress
from nn_inspector.history import Finding
from nn_inspector.history.finding_html import MARKS
from nn_inspector.inspector import Inspector, current_inspector
from nn_inspector.live import connect
from nn_inspector.panels.chart_widget import STYLE
from nn_inspector.snippets import check_cell, remedy_cell


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
        self._steps = [self._step_button(index) for index in range(len(self.progress.steps))]
        self._back = ipywidgets.Button(description="Back", icon="arrow-left")
        self._next = ipywidgets.Button(description="Next", icon="arrow-right")
        self._back.on_click(lambda _: self._go(self.progress.position - 1))
        self._next.on_click(lambda _: self._go(self.progress.position + 1))
        self._next.add_class("nni-next")
        self._insertion = ipywidgets.HTML()
        steps = ipywidgets.VBox(self._steps, layout={"flex": "0 0 210px"})
        body = ipywidgets.VBox(
            [self._page, self._insertion, ipywidgets.HBox([self._back, self._next])],
            layout={"flex": "1 1 380px", "min_width": "0px", "padding": "0 0 0 12px"},
        )
        self._checklist = ipywidgets.HBox([steps, body], layout={"flex_flow": "row wrap"})
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
        for index, (button, step) in enumerate(zip(self._steps, self.progress.steps, strict=True)):
            finding = self.progress.findings.get(step.name)
            sign = MARKS[finding.severity][0] if finding is not None else "·"
            state = finding.severity if finding is not None else "open"
            button.description = f"{sign} {step.title}"
            button.tooltip = f"{step.question} ({state})"
            button.button_style = "info" if index == self.progress.position else ""

    def _headline(self) -> str:
        model = f" · {self._inspector.run.parameters['model']}" if self._inspector is not None else ""
        return f"{STYLE}<b>Debug wizard</b>{model} · {self.progress.summary()}"

    def _step_button(self, index: int) -> ipywidgets.Button:
        button = ipywidgets.Button(layout={"width": "200px"}, style={"text_align": "left"})
        button.add_class("nni-step")
        button.on_click(lambda _: self._go(index))
        return button

    def _make_check(self, name: str) -> Finding:
        assert self._inspector is not None, "steps are shown once there is an inspector"
        finding = self._inspector.check(name)
        self.progress.record(finding)
        self._refresh()
        if self._connection is not None:
            self._connection.send_snapshot()
        return finding

    def _put_check(self, name: str) -> str:
        return self._insert(check_cell(name, self._inspector, self._namespace))

    def _put_remedy(self, finding: Finding) -> str:
        assert self._inspector is not None
        return self._insert(remedy_cell(finding, self._inspector, self._namespace))

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
