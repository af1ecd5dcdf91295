"""The dashboard's buttons that steer a training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets

from nn_inspector.inspector import Inspector

NO_LIVE_PATH = "No button reaches a running cell in this front end. Use Interrupt (■): it ends the training at once."
"""Said where nn_inspector's lab extension has not answered."""


class SteeringButtons(ipywidgets.HBox):
    """Pause or Resume, One step, Stop.

    In JupyterLab the extension sees the clicks and uses the control channel, since a message of a widget waits until the
    cell has ended. Elsewhere a click is obeyed if it arrives while a training runs.

    Args:
        inspector: whose training.
        on_change: called after a click, to show what it did.
    """

    def __init__(self, inspector: Inspector, on_change: Callable[[], None]) -> None:
        self._inspector = inspector
        self._on_change = on_change
        self._pause = self._button("Pause", "pause", "nni-pause", "Wait after the present step", inspector.pause)
        self._resume = self._button("Resume", "play", "nni-resume", "Go on", inspector.resume)
        self._step = self._button("One step", "step-forward", "nni-single-step", "Make one step", inspector.single_step)
        self._stop = self._button("Stop", "stop", "nni-stop", "End the training at the next step", inspector.stop)
        self._shown: tuple[ipywidgets.Button, ...] = ()
        super().__init__(layout={"flex": "0 0 auto"})
        self.refresh()

    def refresh(self) -> None:
        """Offer what can be done now."""
        runs, paused = self._inspector.is_training, self._inspector.is_paused
        self._pause.disabled = self._stop.disabled = not runs
        wanted = (self._resume, self._step, self._stop) if runs and paused else (self._pause, self._stop)
        if wanted != self._shown:
            self._shown = self.children = wanted

    def _button(self, label: str, icon: str, name: str, tooltip: str, action: Callable[[], None]) -> ipywidgets.Button:
        def on_click(_: Any) -> None:
            if self._inspector.is_training:
                action()
                self._on_change()

        button = ipywidgets.Button(description=label, icon=icon, tooltip=tooltip, layout={"width": "auto"})
        button.add_class(name)
        button.on_click(on_click)
        return button
