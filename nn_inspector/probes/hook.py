"""The callable that is put into torch's hook registries.

A plain bound method there would drag its probe into `copy.deepcopy(model)`, and a closure would break
`torch.save(model)`. A `Hook` holds its method weakly (unless told otherwise), turns into an inert function of the standard library when it
is copied or pickled (so the file opens where nn_inspector is not installed), keeps its exceptions to itself, leaves no
trace in a compiled graph and does nothing in threads and passes that do not train.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any

import torch

from nn_inspector.probes.other_passes import is_transformed

if TYPE_CHECKING:
    from nn_inspector.probes.probe import Probe
    from nn_inspector.probes.training_thread import Sign


class Hook:
    """Calls a method of a probe, weakly, safely, on the clock and in the thread that trains.

    Args:
        probe, method: whose, and which.
        first: what it is called with, before torch's arguments.
        sign: what a call tells about its thread; see `TrainingThread`.
        keeps: whether the probe, and all that it reaches, lives as long as what it is registered on.
    """

    __slots__ = ("__weakref__", "_first", "_function", "_kept", "_probe", "_sign")

    __torch_unserializable__ = True
    """torch.save() of a tensor with such a hook leaves it out without a warning."""

    def __init__(
        self, probe: Probe, method: Callable[..., None], *first: object, sign: Sign | None = None, keeps: bool = False
    ) -> None:
        self._probe = weakref.ref(probe)
        self._kept = probe if keeps else None
        self._function: Callable[..., None] = method.__func__  # type: ignore[attr-defined]
        self._first = first
        self._sign = sign

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        if torch.compiler.is_compiling() or is_transformed():
            return
        probe = self._probe()
        if probe is None or probe.failure:
            return
        recorder = probe.recorder
        if recorder.suspended:
            return
        thread, sign = recorder.thread, self._sign
        is_known = get_ident() == thread.ident and (sign is None or thread.settled)
        if not is_known and not thread.admits(sign):
            return
        schedule = recorder.schedule
        schedule.start()
        try:
            self._function(probe, *self._first, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - an error of ours never stops a training: the probe is switched off
            probe.fail(error)
        finally:
            schedule.stop()

    def anywhere(self, *args: Any) -> None:
        """Call the method in whatever thread this is. Outside the one that trains it is not on the clock."""
        probe = self._probe()
        if probe is None or probe.recorder.thread.is_here:
            self(*args)
        elif not probe.failure and not probe.recorder.suspended:
            try:
                self._function(probe, *self._first, *args)
            except Exception as error:  # noqa: BLE001 - see above
                probe.fail(error)

    def __deepcopy__(self, memo: dict[int, Any]) -> Callable[..., None]:
        return inert()

    def __copy__(self) -> Callable[..., None]:
        return inert()

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (contextlib.nullcontext(), "__exit__")


def inert() -> Callable[..., None]:
    """A function that takes anything, does nothing and can be copied and pickled with the standard library alone."""
    return contextlib.nullcontext().__exit__


def is_of_ours(hook: object) -> bool:
    """Whether a hook is one of ours, or what becomes of it in a copy."""
    return isinstance(hook, Hook) or getattr(hook, "__func__", None) is contextlib.nullcontext.__exit__
