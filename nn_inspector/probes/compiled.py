"""Whether torch.compile has been at work."""

from __future__ import annotations

import sys


def compiled_frames() -> int:
    """How many frames were compiled in this process so far.

    Example:
        >>> import torch
        >>> before = compiled_frames()
        >>> torch.compile(lambda x: x + 1, backend="eager")(torch.ones(2))
        tensor([2., 2.])
        >>> compiled_frames() > before
        True
    """
    counters = getattr(sys.modules.get("torch._dynamo.utils"), "counters", {})
    frames = counters.get("frames", {})
    return int(frames.get("total", 0))
