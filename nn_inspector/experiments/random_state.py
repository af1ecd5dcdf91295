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
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else None
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        if seed is not None:
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            torch.manual_seed(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)


@contextlib.contextmanager
def preserved_generators(*owners: object) -> Iterator[None]:
    """Restore the `generator` that each of these objects (a loader, its sampler) may hold when the block ends."""
    generators = {id(g): g for g in (getattr(owner, "generator", None) for owner in owners) if g is not None}
    states = {key: g.get_state() for key, g in generators.items() if isinstance(g, torch.Generator)}
    try:
        yield
    finally:
        for key, state in states.items():
            generators[key].set_state(state)
