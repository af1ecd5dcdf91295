"""Functions that want to know of each step."""

from __future__ import annotations

import time
from collections.abc import Callable

from nn_inspector.errors import describe_error


class Subscribers:
    """Functions that are called in the training's thread, after its steps and when it waits. One that fails is switched off.

    Args:
        report: told in words of one that failed; it must not stop the training.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._pairs: list[tuple[Callable[[], None], Callable[[], None]]] = []

    def add(self, after_step: Callable[[], None], before_waiting: Callable[[], None]) -> Callable[[], None]:
        """Call these from now on.

        Returns:
            A function that ends this.
        """
        pair = (after_step, before_waiting)
        self._pairs.append(pair)
        return lambda: self._pairs.remove(pair) if pair in self._pairs else None

    def tell(self, *, waiting: bool) -> float:
        """A step was made, or the training begins to wait.

        Returns:
            How many seconds the functions took.
        """
        begin = time.perf_counter()
        for pair in list(self._pairs):
            try:
                pair[waiting]()
            except Exception as error:  # noqa: BLE001 - a view that fails must not stop the training
                self._pairs.remove(pair)
                self._report(f"A live view was switched off: {describe_error(error)}")
        return time.perf_counter() - begin

    def clear(self) -> None:
        """Call none any more."""
        self._pairs.clear()
