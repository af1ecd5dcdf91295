"""Nothing at all, and nn_inspector at several cadences."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nn_inspector as nni
from benchmarks.overhead.loop import Loop
from benchmarks.overhead.variant import Session, Variant

_LONG_ENOUGH = 60
"""With every="auto" nn_inspector takes a gap of more than 20 usual steps for a pause of the user's. The other copy's
block must be such a gap, else its time would be taken for training time that pays for measurements."""

LIGHT_AND_ACTIVATIONS = ("loss", "learning_rate", "gradients", "updates", "zeroing", "time", "activations")
"""What torch-audit and torchmortem look at, too: loss, gradients, weights, updates and activations."""


@contextlib.contextmanager
def nothing(loop: Loop, folder: Path) -> Iterator[Session]:
    """Shows what the method itself makes of two trainings that do not differ."""
    yield Session(quantities=tuple)


@contextlib.contextmanager
def watch(loop: Loop, folder: Path, **options: Any) -> Iterator[Session]:
    with nni.watch(loop.model, loop.optimizer, loop.loss_fn, show=False, **options) as inspector:
        yield Session(quantities=inspector.run.quantities, measured=lambda: inspector.overhead.measured_steps)
        loop.run(1)  # the other copy may have trained last, which would be worth a word
        if inspector.problems:
            raise RuntimeError("; ".join(inspector.problems))


def _without_probes() -> str | None:
    known = "probes" in inspect.signature(nni.watch).parameters
    return None if known else "this nn_inspector has no probes= argument"


NOTHING = Variant("nothing", "-", nothing)

OURS = (
    Variant("nn_inspector", "auto", watch, shortest_block=_LONG_ENOUGH),
    *(
        Variant(f"nn_inspector-{every}", f"every {every}", functools.partial(watch, every=every), period=every)
        for every in (1, 10, 100)
    ),
    *(
        Variant(
            f"nn_inspector-1-{name}",
            f"every 1, {name}",
            functools.partial(watch, every=1, probes=probes),
            lacking=_without_probes,
        )
        for name, probes in {"light": "light", "activations": LIGHT_AND_ACTIVATIONS, "full": "full"}.items()
    ),
)
