"""Several optimizers: once a step of one is measured, the next steps are too, until each has made one."""

from __future__ import annotations

_MOST = 16
"""An optimizer that steps more rarely than once in so many rounds is not waited for: that would cost what `every` is to save."""

_MEMORY = 0.9
"""The longest gap between two steps of an optimizer counts, an earlier one by so much less at each step."""


class Rounds:
    """Sees to it that no optimizer's steps always fall between the measured ones.

    So they would where two take turns and every second step is measured.

    Example:
        >>> rounds = Rounds()
        >>> [rounds.end_step(step % 2, due=step % 4 == 0) for step in range(6)]
        [False, False, False, False, True, False]
    """

    def __init__(self) -> None:
        self._step = 0
        self._latest: dict[int, int] = {}
        self._gaps: dict[int, float] = {}
        self._measured: set[int] = set()

    def end_step(self, optimizer_index: int, *, due: bool) -> bool:
        """An optimizer has made a step, which was measured if it was `due`.

        Returns:
            Whether the next step is to be measured for the sake of an optimizer whose turn comes.
        """
        self._step += 1
        if optimizer_index in self._latest:
            gap = self._step - self._latest[optimizer_index]
            self._gaps[optimizer_index] = max(gap, _MEMORY * self._gaps.get(optimizer_index, 0.0))
        self._latest[optimizer_index] = self._step
        if not due or len(self._latest) == 1:
            self._measured.clear()
            return False
        self._measured.add(optimizer_index)
        if self._taking_turns() <= self._measured:
            self._measured.clear()
            return False
        return True

    def _taking_turns(self) -> set[int]:
        """The optimizers that will step soon, going by when they did."""
        most = _MOST * len(self._latest)
        return {one for one, gap in self._gaps.items() if gap <= most and self._step - self._latest[one] < 2 * gap}
