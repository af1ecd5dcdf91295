"""The dashboard's buttons that steer a training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets

from nn_inspector.inspector import Inspector

NO_LIVE_PATH = "No button reaches a running cell in this front end. Use Interrupt (■): it ends the training at once."
"""Said where nn_inspector's lab extension has not answered."""

FACTORS = (0.1, 0.5, 2.0)
"""The learning rate can be multiplied by these."""


class SteeringButtons(ipywidgets.HBox):
    """Pause or Resume, One step, Stop, and other learning rates.

    In JupyterLab the extension sees the clicks and uses the control channel, since a message of a widget waits until the
    cell has ended. Elsewhere a click is obeyed if it arrives while a training runs; where none can arrive, the buttons say so.

    Args:
        inspector: whose training.
        on_change: called after a click, to show what it did.
        is_reached: whether a click reaches the training while it runs.
    """

    def __init__(
        self, inspector: Inspector, on_change: Callable[[], None], is_reached: Callable[[], bool] = lambda: True
    ) -> None:
        self._inspector = inspector
        self._on_change = on_change
        self._is_reached = is_reached
        self._tooltips: dict[ipywidgets.Button, str] = {}
        self._pause = self._button("Pause", "pause", "nni-pause", "Wait after the present step", inspector.pause)
        self._resume = self._button("Resume", "play", "nni-resume", "Go on", inspector.resume)
        self._step = self._button("One step", "step-forward", "nni-single-step", "Make one step", inspector.single_step)
        self._stop = self._button("Stop", "stop", "nni-stop", "End the training at the next step", inspector.stop)
        self._rates = tuple(
            self._button(
                f"Rate ×{factor:g}",
                "",
                f"nni-rate-times-{factor:g}",
                f"Multiply the learning rate by {factor:g} from the next step on",
                partial(inspector.scale_learning_rate, factor),
            )
            for factor in FACTORS
        )
        self._shown: tuple[ipywidgets.Button, ...] = ()
        super().__init__(layout={"flex": "0 1 auto", "flex_flow": "row wrap"})
        self.refresh()

    def refresh(self) -> None:
        """Offer what can be done now."""
        runs, paused = self._inspector.is_training, self._inspector.is_paused
        unreached = runs and not self._is_reached()
        for button, tooltip in self._tooltips.items():
            button.disabled = not runs or unreached
            button.tooltip = NO_LIVE_PATH if unreached else tooltip
        moves = (self._resume, self._step, self._stop) if runs and paused else (self._pause, self._stop)
        wanted = (*moves, *self._rates)
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
        self._tooltips[button] = tooltip
        return button
