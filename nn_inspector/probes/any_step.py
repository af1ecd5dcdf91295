"""One hook on the steps of all optimizers, for every probe that asks.

torch walks through its registry while its hooks run and fails where an entry leaves it meanwhile. A probe that was
forgotten is collected at any time, also then: so torch has one entry of ours, and what is collected leaves our own list.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from nn_inspector.probes.hook import Hook
from nn_inspector.probes.probe import Removable

_listeners: tuple[weakref.ref[AnyStep], ...] = ()
_entry: Removable | None = None


class AnyStep:
    """Calls a hook before each step of any optimizer, until it is removed or forgotten.

    Args:
        hook: what is called.
        but: optimizers whose steps are not told of; the list may grow.
    """

    __slots__ = ("__weakref__", "_but", "_hook")

    def __init__(self, hook: Hook, but: Sequence[Optimizer] = ()) -> None:
        self._hook = hook
        self._but = but
        _tell_all((*_listening(), self))

    def remove(self) -> None:
        """Call the hook no more; the last one takes torch's entry along."""
        _tell_all([other for other in _listening() if other is not self])

    def tell(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """An optimizer is about to step."""
        for known in self._but:
            if known is optimizer:
                return
        self._hook.anywhere(optimizer, args, kwargs)


def _listening() -> list[AnyStep]:
    return [listener for listener in (reference() for reference in _listeners) if listener is not None]


def _tell_all(listeners: Sequence[AnyStep]) -> None:
    global _listeners, _entry  # noqa: PLW0603 - torch's registry is one for the process as well
    _listeners = tuple(weakref.ref(listener) for listener in listeners)
    if _listeners and _entry is None:
        _entry = register_optimizer_step_pre_hook(_tell)
    elif _entry is not None and not _listeners:
        _entry.remove()
        _entry = None


def _tell(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    for reference in _listeners:
        listener = reference()
        if listener is not None:
            listener.tell(optimizer, args, kwargs)
