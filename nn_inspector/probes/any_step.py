"""One hook on the steps of all optimizers, for every probe that asks.

torch walks through its registry while its hooks run and fails where an entry leaves it meanwhile. A probe that was
forgotten is collected at any time, also then: so torch has one entry of ours, and what is collected leaves our own list.
"""

from __future__ import annotations

import weakref
from typing import Any

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from nn_inspector.probes.hook import Hook
from nn_inspector.probes.probe import Removable

_listeners: weakref.WeakSet[AnyStep] = weakref.WeakSet()
_entry: Removable | None = None


class AnyStep:
    """Calls a hook before each step of any optimizer, until it is removed or forgotten."""

    def __init__(self, hook: Hook) -> None:
        global _entry  # noqa: PLW0603 - torch's registry is one for the process as well
        self.hook = hook
        _listeners.add(self)
        _entry = _entry or register_optimizer_step_pre_hook(_tell)

    def remove(self) -> None:
        """Call the hook no more; the last one takes torch's entry along."""
        global _entry  # noqa: PLW0603 - see above
        _listeners.discard(self)
        if _entry is not None and not _listeners:
            _entry.remove()
            _entry = None


def _tell(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    for listener in list(_listeners):
        listener.hook(optimizer, args, kwargs)
