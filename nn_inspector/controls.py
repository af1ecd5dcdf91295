"""What a training that runs can be told to do, by code, by a button or by another program."""

from __future__ import annotations

from nn_inspector.steering import Steering


class Controls:
    """Stop, pause, single steps and learning rates of one training. All may be called from any thread.

    Each is done at the next step boundary.

    Args:
        steering: keeps what is asked for until then.
    """

    def __init__(self, steering: Steering) -> None:
        self._steering = steering

    def stop(self) -> None:
        """End the training loop at the next step boundary."""
        self._steering.stop()

    def pause(self) -> None:
        """Let the training wait at the next step boundary, until `resume()`, `stop()` or an interrupt."""
        self._steering.pause()

    def resume(self) -> None:
        """Let a paused training go on."""
        self._steering.resume()

    def single_step(self) -> None:
        """Let a paused training make one step and wait again."""
        self._steering.single_step()

    def set_learning_rate(self, value: float, group: str | int | None = None) -> None:
        """Change the learning rate at the next step boundary; the run keeps a note of it.

        Args:
            value: the new rate, 0 or above. A scheduler of yours may change it again.
            group: a parameter group by its number or its name in the run; None for all.

        Raises:
            ArgumentError: the value is no rate, or there is no such group.
        """
        self._steering.set_learning_rate(value, group)

    def scale_learning_rate(self, factor: float, group: str | int | None = None) -> None:
        """Multiply the learning rate at the next step boundary, that of each group by the same; the run keeps a note of it.

        Args:
            factor: above 0; 0.5 halves the rate. A scheduler of yours may change it again.
            group: a parameter group by its number or its name in the run; None for all.

        Raises:
            ArgumentError: it is no factor, or there is no such group.
        """
        self._steering.scale_learning_rate(factor, group)

    def forget_requests(self) -> None:
        """Take back what was asked for and no step has met: it was meant for a training that is over."""
        self._steering.forget()

    @property
    def is_paused(self) -> bool:
        """Whether the training waits, or will at its next step boundary."""
        return self._steering.is_paused

    def renew_views(self) -> None:
        """If the training waits, let its views show it once more: something about them was chosen. From any thread."""
        self._steering.look()
