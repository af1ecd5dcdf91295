"""Random numbers drawn in an experiment are given back: the user's training draws the same ones as without it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def preserved_random_state(seed: int | None = None) -> Iterator[None]:
    """Restore the global generators of Python, NumPy and torch (every device in use) when the block ends.

    Args:
        seed: seeds all of them for the block, if given.
    """
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - the user's
    cuda = torch.cuda.get_rng_state_all() if _cuda_in_use() else None
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        if seed is not None:
            _seed_all(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)


def _seed_all(seed: int) -> None:
    """Not by `torch.manual_seed`: that also notes the seed for a CUDA that is not in use yet, in place of the user's."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    if _cuda_in_use():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


def _cuda_in_use() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_initialized()
