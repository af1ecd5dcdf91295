"""Moves all panels to any step of a run, or along it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets

from nn_inspector.history import Run, earlier

_MOVES = 100
"""Playing takes so many moves from the first step to the last."""


class _Slider(ipywidgets.IntSlider):
    """Sends its range before its value: the page cuts a value off at the end that it knows, and sends that back as chosen."""

    def send_state(self, key: Any = None) -> None:
        super().send_state(sorted(key) if isinstance(key, set) else key)


class TimeTravel(ipywidgets.HBox):
    """A slider over the steps, with Play and with a way back to the latest one.

    The buttons of ipywidgets' `Play` have no names that could be read out: it is hidden and keeps the time. It works in the
    page, whose messages wait until a running cell has ended: so it rests while a training runs.

    Args:
        run: whose steps.
        on_change: called when another step was chosen.
        is_training: whether steps are being made now.
    """

    def __init__(self, run: Run, on_change: Callable[[], None], is_training: Callable[[], bool]) -> None:
        self._run = run
        self._on_change = on_change
        self._is_training = is_training
        self._moving = False
        self.slider = _Slider(
            description="Step", min=0, max=0, continuous_update=True, layout={"flex": "1 1 200px", "min_width": "160px"}
        )
        self._clock = ipywidgets.Play(min=0, max=0, interval=400, layout={"display": "none"})
        self.play = ipywidgets.ToggleButton(
            description="Play",
            icon="play",
            tooltip="Move along the steps, once no training runs",
            layout={"width": "auto"},
        )
        self.latest = ipywidgets.Button(
            description="Latest", icon="fast-forward", tooltip="Follow the training", layout={"width": "auto"}
        )
        ipywidgets.jsdlink((self._clock, "value"), (self.slider, "value"))
        ipywidgets.jslink((self.play, "value"), (self._clock, "playing"))
        self.slider.observe(self._on_slide, "value")
        self.play.observe(self._on_play, "value")
        self.latest.on_click(lambda _: self.follow())
        self.latest.add_class("nni-latest")
        super().__init__([self._clock, self.play, self.slider, self.latest], layout={"flex_flow": "row wrap"})
        self.add_class("nni-time-travel")
        self.refresh()

    @property
    def following(self) -> bool:
        """Whether the latest step is shown, and the next ones as they come."""
        return bool(self.slider.value >= self.slider.max)

    @property
    def shown(self) -> Run:
        """The run as it is to be shown."""
        return self._run if self.following else earlier(self._run, self.slider.value)

    def go_to(self, step: int) -> None:
        """Show the run as it was at a step, also at one that was made since the last look."""
        self.refresh()
        self.slider.value = min(max(step, 0), self.slider.max)

    def follow(self) -> None:
        """Go to the latest step and stay with it."""
        self.slider.value = self.slider.max

    def refresh(self) -> None:
        """Reach as far as the training has come."""
        last = max(self._run.steps - 1, 0)
        if last != self.slider.max:
            following = self.following
            self._moving = True
            with self.slider.hold_sync():
                self.slider.max = last
                if following:
                    self.slider.value = last
            self._moving = False
        self.play.disabled = self._is_training()
        if self.play.disabled:
            self.play.value = False
        else:
            self._set_clock()
        self.latest.disabled = self.following

    def _set_clock(self) -> None:
        """Playing begins where the slider stands."""
        with self._clock.hold_sync():
            self._clock.max = self.slider.max
            self._clock.step = max(1, self.slider.max // _MOVES)
            self._clock.value = self.slider.value

    def _on_play(self, change: Any) -> None:
        self.play.description, self.play.icon = ("Stop playing", "pause") if change.new else ("Play", "play")

    def _on_slide(self, _: Any) -> None:
        if not self._moving:
            self.latest.disabled = self.following
            if not self.play.value and not self._is_training():
                self._set_clock()
            self._on_change()
