"""Numbers that a loop adds to what is measured of it."""

from __future__ import annotations

import torch

from nn_inspector.errors import ArgumentError, describe
from nn_inspector.history import Run
from nn_inspector.probes import Recorder


class OwnNumbers:
    """Numbers of the user's own, at the step at which they are handed in.

    Args:
        run: where they can be read again.
        recorder: what they are handed to.
    """

    def __init__(self, run: Run, recorder: Recorder) -> None:
        self.run = run
        self._recorder = recorder
        self._logged: dict[tuple[str, str], None] = {("loss", "train"): None, ("loss", "validation"): None}

    def log(self, **scalars: float | torch.Tensor) -> None:
        """Record numbers of your own at the present step.

        Raises:
            ArgumentError: a value is not one number.

        Example:
            >>> inspector.log(accuracy=0.91)
        """
        for name, value in scalars.items():
            self._recorder.record(name, "train", _number(name, value))
            self._logged[name, "train"] = None
        self._hand_on(wait=False)

    def validation(self, **metrics: float | torch.Tensor) -> None:
        """Record results of a validation pass that could not be seen from outside, such as `loss=...` or `accuracy=...`.

        Raises:
            ArgumentError: a value is not one number.
        """
        for name, value in metrics.items():
            self._recorder.record(name, "validation", _number(name, value))
            self._logged[name, "validation"] = None
        self._hand_on(wait=True)

    @property
    def latest(self) -> dict[str, float]:
        """The latest loss and validation loss, and the latest of what was logged, by name.

        Example:
            >>> inspector.validation(accuracy=0.91)
            >>> list(inspector.latest)
            ['loss', 'validation accuracy']
        """
        values = {pair: self.run.last(*pair) for pair in self._logged}
        words = {"train": "", "validation": "validation "}
        return {words[source] + name: value for (name, source), value in values.items() if value is not None}

    def _hand_on(self, *, wait: bool) -> None:
        """The run has them now, unless it is another thread that hands them in than the one that trains."""
        if self._recorder.thread.is_here:
            self._recorder.flush(wait=wait)


def _number(name: str, value: object) -> float:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return float(value.detach())
    if isinstance(value, int | float):
        return float(value)
    raise ArgumentError(
        name, expected="one number", got=describe(value), advice="Reduce it first, for example .mean()."
    )
