"""How far the graph of a loss reaches back into earlier steps."""

from __future__ import annotations

import heapq

import torch

from nn_inspector.probes.origin import node_number

_MOST_NODES = 3000
_ROUNDS = 12
_LEAVES_FROM = 1 << 62
"""Nodes at the leaves of a graph have no number of their own but this or a larger one."""


class GraphReach:
    """Remembers which numbers the nodes of each round had: from one batch or optimizer step to the next.

    torch numbers the nodes of all graphs of a thread as they are made, so that a node with a number of an earlier round was
    made in that round. Nothing of a graph is held.
    """

    def __init__(self) -> None:
        self._ends: list[int] = []
        self._last: int | None = None

    def new_round(self) -> None:
        """A batch is handed out, or an optimizer has stepped."""
        if self._last is not None and len(self._ends) < _ROUNDS:
            self._ends.append(self._last)
        self._last = None

    def back(self, objective: torch.Tensor) -> int:
        """How many rounds ago the oldest operation behind a tensor ran; 0 for this round.

        After twelve rounds nothing is looked up any more. Of a large graph its oldest parts are followed first, and no more
        than 3,000 nodes.
        """
        self._last = node_number(objective.grad_fn)
        if not self._ends or len(self._ends) >= _ROUNDS or objective.grad_fn is None:
            return 0
        oldest = self._oldest(objective)
        return sum(oldest <= end for end in self._ends)

    def _oldest(self, objective: torch.Tensor) -> int:
        first = node_number(objective.grad_fn) or 0
        oldest, waiting, seen = first, [(first, 0, objective.grad_fn)], {objective.grad_fn}
        while waiting and len(seen) < _MOST_NODES and oldest > self._ends[0]:
            number, _, node = heapq.heappop(waiting)
            oldest = min(oldest, number)
            for source, _ in node.next_functions:  # type: ignore[union-attr]  # only nodes are waiting
                if source is None or source in seen:
                    continue
                seen.add(source)
                place = node_number(source) or 0
                if place < _LEAVES_FROM:
                    heapq.heappush(waiting, (place, len(seen), source))
        return oldest
