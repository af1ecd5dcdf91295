"""Moves all panels to any step of a run, or along it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets

from nn_inspector.history import Run, earlier
from nn_inspector.panels.beat import Beat

_MOVES = 100
"""Playing takes so many moves from the first step to the last."""

_PACE = 0.4
"""Seconds from one move to the next."""


class _Slider(ipywidgets.IntSlider):
    """Sends its range before its value: the page cuts a value off at the end that it knows, and sends that back as chosen."""

    def send_state(self, key: Any = None) -> None:
        super().send_state(sorted(key) if isinstance(key, set) else key)


class TimeTravel(ipywidgets.HBox):
    """A slider over the steps, with Play and with a way back to the latest one.

    The buttons of ipywidgets' `Play` have no names that could be read out: it is hidden and keeps the time. It works in the
    page, whose messages wait until a running cell has ended: while a training runs, the slider is moved on by `refresh()`.

    Args:
        run: whose steps.
        on_change: called when another step was chosen.
        is_training: whether steps are being made now.
        is_heard: whether a click reaches a running cell.
    """

    def __init__(
        self,
        run: Run,
        on_change: Callable[[], None],
        is_training: Callable[[], bool],
        is_heard: Callable[[], bool],
    ) -> None:
        self._run = run
        self._on_change = on_change
        self._is_training = is_training
        self._is_heard = is_heard
        self._moving = False
        self._beat = Beat(_PACE)
        self.slider = _Slider(
            description="Step", min=0, max=0, continuous_update=True, layout={"flex": "1 1 200px", "min_width": "160px"}
        )
        self._clock = ipywidgets.Play(min=0, max=0, interval=round(1000 * _PACE), layout={"display": "none"})
        self.play = ipywidgets.ToggleButton(
            description="Play",
            icon="play",
            tooltip="Move along the steps",
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
        self.play.add_class("nni-play")
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
        self.stop_playing_along()
        self.slider.value = self.slider.max

    @property
    def playing_along(self) -> bool:
        """Whether the slider moves along while a training runs."""
        return self._beat.going

    def play_along(self) -> None:
        """Move along the steps while a training runs, from the first one if the latest is shown."""
        if self.following:
            self.slider.value = 0
        self._beat.begin()
        self._name_button(playing=True)

    def stop_playing_along(self) -> None:
        """Stay at the step that is shown."""
        if self.playing_along:
            self._beat.end()
            self._name_button(playing=False)

    def refresh(self) -> None:
        """Reach as far as the training has come, and play."""
        last = max(self._run.steps - 1, 0)
        if last != self.slider.max:
            following = self.following and not self.playing_along
            self._moving = True
            with self.slider.hold_sync():
                self.slider.max = last
                if following:
                    self.slider.value = last
            self._moving = False
        if not self._is_training():
            self._set_clock()
            self.play.disabled = False
            if self.playing_along:
                self.stop_playing_along()
                self.play.value = True
        else:
            self.play.disabled = not self._is_heard()
            self.play.value = False
            self._move_along()
        self.latest.disabled = self.following

    def _move_along(self) -> None:
        if beats := self._beat.count():
            self.slider.value = min(self.slider.value + beats * self._stride, self.slider.max)
        if self.playing_along and self.following:
            self.stop_playing_along()

    @property
    def _stride(self) -> int:
        """So many steps are one move."""
        return max(1, int(self.slider.max) // _MOVES)

    def _set_clock(self) -> None:
        """Playing begins where the slider stands."""
        with self._clock.hold_sync():
            self._clock.max = self.slider.max
            self._clock.step = self._stride
            self._clock.value = self.slider.value

    def _on_play(self, change: Any) -> None:
        self._name_button(playing=change.new)

    def _name_button(self, *, playing: bool) -> None:
        self.play.description, self.play.icon = ("Stop playing", "pause") if playing else ("Play", "play")
        (self.play.add_class if playing else self.play.remove_class)("nni-playing")

    def _on_slide(self, _: Any) -> None:
        if not self._moving:
            self.latest.disabled = self.following
            if not self.play.value and not self._is_training():
                self._set_clock()
            self._on_change()
