"""Which thread trains: what other threads do with the watched model at the same time is none of the training.

They must not even be looked at: a gradient that is read in one thread while backward() of another writes it ends the
process.
"""

from __future__ import annotations

import threading
from enum import IntEnum

import torch

NO_THREAD = 0
"""A thread has a number above it."""


class Sign(IntEnum):
    """What is seen in a thread and tells that it trains, the surest last."""

    WATCHED = 0
    BATCH = 1
    FORWARD = 2
    STEP = 3


class TrainingThread:
    """Remembers the thread that trains.

    It is the one in which watch() was called, until a surer sign is seen in another: a batch of the training data, a
    forward pass with gradients, a step. Where two threads make forward passes with gradients, it is none until one makes
    a step. From then on another takes over with its second step in a row, or with any sign when the first has ended.

    Attributes:
        ident: of that thread, see `threading.get_ident`; `NO_THREAD` while it is none.
        settled: whether no sign in that thread can tell anything new.
    """

    def __init__(self) -> None:
        self.ident = threading.get_ident()
        self._thread = threading.current_thread()
        self._sign = Sign.WATCHED
        self._steps_elsewhere = 0
        self.settled = False

    @property
    def is_here(self) -> bool:
        """Whether the caller is in that thread."""
        return threading.get_ident() == self.ident

    def admits(self, sign: Sign | None = None) -> bool:
        """Whether what happens now, in the caller's thread, belongs to the training.

        Threads of autograd's own, which run backward() on other devices than the CPU, work for the one that trains.

        Args:
            sign: what it tells about the caller's thread, if anything.
        """
        if sign is Sign.FORWARD and not torch.is_grad_enabled():
            sign = None
        if self.is_here:
            if sign is not None:
                self._settle(sign)
            return True
        if torch._C._current_graph_task_id() != -1 and is_foreign(threading.current_thread()):
            return True
        if sign is None or not self._takes_over(sign):
            return False
        self.ident, self._thread = threading.get_ident(), threading.current_thread()
        self._sign = Sign.WATCHED
        self._settle(sign)
        return True

    def _settle(self, sign: Sign) -> None:
        self._sign = max(self._sign, sign)
        self._steps_elsewhere = 0
        self.settled = self._sign is Sign.STEP

    def _takes_over(self, sign: Sign) -> bool:
        self.settled = False
        if sign > self._sign or not self._thread.is_alive():
            return True
        if sign is Sign.FORWARD and self._sign is Sign.FORWARD:
            self.ident = NO_THREAD
        self._steps_elsewhere += sign is Sign.STEP
        return self._steps_elsewhere > 1


def is_foreign(thread: threading.Thread) -> bool:
    """Whether Python did not start the thread."""
    return isinstance(thread, threading._DummyThread)
