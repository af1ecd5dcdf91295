"""Sees every torch function that is called while it is on torch's stack."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch

from nn_inspector.probes.loss_calls import CallMode, LossCall
from nn_inspector.probes.schedule import Schedule


class CallListener(Protocol):
    """Is told of each call."""

    def before_call(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None: ...
    def after_call(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any
    ) -> None: ...


def _no_listener(call: LossCall) -> None:
    """Calls of losses are reported as all others are."""


class WatchMode(CallMode):
    """Reports all calls, but for those that nn_inspector makes itself and those in a forked process.

    Args:
        listener: is told of each call; time spent there is on the schedule's account. An exception of its own switches it
            off and is kept in `failure`.
        schedule: says when it is nn_inspector that works.
    """

    def __init__(self, listener: CallListener, schedule: Schedule) -> None:
        super().__init__(_no_listener, schedule=schedule)
        self._listener = listener
        self._process = os.getpid()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if (
            torch.compiler.is_compiling()
            or self.failure is not None
            or self._schedule.working
            or os.getpid() != self._process
        ):
            return func(*args, **kwargs)
        self.report(self._listener.before_call, func, args, kwargs)
        result = func(*args, **kwargs)
        self.report(self._listener.after_call, func, args, kwargs, result)
        return result
