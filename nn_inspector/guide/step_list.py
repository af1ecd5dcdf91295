"""The steps of the wizard by stage: one stage is open, the others show how they stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets

from nn_inspector.checks import STAGES
from nn_inspector.guide.steps import Progress
from nn_inspector.history.finding_html import MARKS

_WIDTH = "324px"


class StepList(ipywidgets.VBox):
    """Buttons for stages and steps.

    Args:
        progress: where somebody stands.
        on_step: called with the index of a step that was chosen.
        on_stage: called with the name of a stage whose steps are all to be made.
    """

    def __init__(self, progress: Progress, on_step: Callable[[int], None], on_stage: Callable[[str], None]) -> None:
        self._progress = progress
        self._on_step, self._on_stage = on_step, on_stage
        self._steps = [self._step(index) for index in range(len(progress.steps))]
        self._stages = {stage: self._stage(stage) for stage in progress.stages}
        self._all = {stage: self._run_all(stage) for stage in progress.stages}
        super().__init__(layout={"flex": f"0 0 {_WIDTH}"})
        self.refresh()

    def refresh(self) -> None:
        """Show how the steps stand, and open the stage of the present one."""
        progress, shown = self._progress, []
        for stage, button in self._stages.items():
            is_open = stage == progress.step.stage
            button.description = f"{'▾' if is_open else '▸'} {STAGES[stage]} {self._sign_of(stage)}"
            button.tooltip = f"{'Open' if is_open else 'Opens'}: {STAGES[stage]}"
            shown.append(button)
            if is_open:
                own = [index for index, step in enumerate(progress.steps) if step.stage == stage]
                shown += [self._refreshed(index) for index in own]
                shown.append(self._all[stage])
        self.children = tuple(shown)

    def _refreshed(self, index: int) -> ipywidgets.Button:
        progress, button = self._progress, self._steps[index]
        step = progress.steps[index]
        finding = progress.findings.get(step.name)
        sign = MARKS[finding.severity][0] if finding is not None else "·"
        button.description = f"{sign} {step.title}"
        button.tooltip = f"{step.question} ({finding.severity if finding is not None else 'open'})"
        button.button_style = "info" if index == progress.position else ""
        return button

    def _sign_of(self, stage: str) -> str:
        steps = [step.name for step in self._progress.steps if step.stage == stage]
        found = [self._progress.findings[name] for name in steps if name in self._progress.findings]
        signs = "".join(MARKS[level][0] for level in ("error", "warning") if any(f.severity == level for f in found))
        return f"{signs} {len(found)}/{len(steps)}".strip()

    def _step(self, index: int) -> ipywidgets.Button:
        button = ipywidgets.Button(layout={"width": "auto", "margin": "1px 0 1px 16px"}, style={"text_align": "left"})
        button.add_class("nni-step")
        button.on_click(lambda _: self._on_step(index))
        return button

    def _stage(self, stage: str) -> ipywidgets.Button:
        def open_stage(_: Any) -> None:
            self._on_step(next(i for i, step in enumerate(self._progress.steps) if step.stage == stage))

        button = ipywidgets.Button(
            layout={"width": "auto"}, style={"font_weight": "bold", "button_color": "transparent"}
        )
        button.add_class("nni-stage")
        button.on_click(open_stage)
        return button

    def _run_all(self, stage: str) -> ipywidgets.Button:
        button = ipywidgets.Button(
            description="Run these steps", icon="forward", layout={"width": "auto", "margin": "1px 0 8px 16px"}
        )
        button.add_class("nni-run-stage")
        button.on_click(lambda _: self._on_stage(stage))
        return button
