"""Keeps the C library from giving memory back to the system between steps."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Parameters of glibc's mallopt(3)."""


def hold_memory() -> bool:
    """Make the process hold on to memory that was freed; it stays so until the process ends.

    By default glibc returns freed gradients to the system or not by where they happen to lie, and each page that is
    asked for again costs a page fault. Two copies of one training then differ by up to a factor of 2.3 for as long as
    they run, and any watcher that moves an allocation seems to slow training down, or to speed it up.

    Returns:
        Whether that was possible: only glibc is known to need it and to offer it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    wanted = {_MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 1 << 30, _TOP_PAD: 64 << 20}
    return all(mallopt(parameter, size) == 1 for parameter, size in wanted.items())
