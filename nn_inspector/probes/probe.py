"""What all probes share: hooks that can be taken off again, and a way to fail without harm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import ClassVar, Protocol

from nn_inspector.errors import describe_error
from nn_inspector.probes.hook import Hook
from nn_inspector.probes.plain_torch import plain_torch
from nn_inspector.probes.recorder import Recorder
from nn_inspector.probes.training_thread import Sign


class Removable(Protocol):
    """What torch returns when a hook is registered."""

    def remove(self) -> None: ...


class Probe:
    """Attaches to one kind of thing and measures it.

    A subclass registers hooks in `attach` and hands what they measure to the recorder. It never returns a value from
    a hook, keeps a tensor of the user's, draws random numbers or waits for the device.

    Attributes:
        failure: why the probe switched itself off, or None while it works.
    """

    name: ClassVar[str]

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.failure: str | None = None
        self._handles: list[Removable] = []

    def attach(self) -> None:
        """Register the hooks."""

    def detach(self) -> None:
        """Remove every hook; torch's registries are as they were before `attach`."""
        while self._handles:
            self._handles.pop().remove()

    def handles(self) -> list[Removable]:
        """The hooks that are registered now."""
        return list(self._handles)

    @property
    def lost(self) -> bool:
        """Whether other code took hooks of ours away."""
        return any(_is_gone(handle) for handle in self.handles())

    def fail(self, error: Exception) -> None:
        """Switch off because of an error of our own; the training goes on.

        The hooks stay registered until `detach`: torch may be walking through its registry right now.
        """
        self.failure = f"The {self.name} probe switched itself off: {describe_error(error)}"

    def hook(self, method: Callable[..., None], *first: object, sign: Sign | None = None, keeps: bool = False) -> Hook:
        """Wrap a method for one of torch's hook registries; it is called with `first` before torch's arguments."""
        return Hook(self, method, *first, sign=sign, keeps=keeps)

    def keep(self, handle: Removable) -> None:
        """Remember a handle, for `detach`."""
        self._handles.append(handle)


def _is_gone(handle: Removable) -> bool:
    """Whether the registry of torch's that a handle belongs to lives, and does not hold its hook any more."""
    registry: Callable[[], Mapping[int, object] | None] | None = getattr(handle, "hooks_dict_ref", None)
    hooks = registry() if registry is not None else None
    return hooks is not None and getattr(handle, "id", None) not in hooks


class StepReader(Probe):
    """A probe that looks at an optimizer just before and just after its step.

    Attributes:
        every_step: whether it looks at every step, or only at those that are measured in full.
        arithmetic: what it works in. It is `plain_torch`, unless something of the user's is called there too.
    """

    every_step: ClassVar[bool] = False
    arithmetic: ClassVar[type[AbstractContextManager[object]]] = plain_torch

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do at steps that are not measured in full, until the next one that is."""
        return not self.every_step

    def add_optimizer(self, optimizer_index: int) -> None:
        """An optimizer is watched from now on."""

    def before_step(self, optimizer_index: int) -> None:
        """Gradients are final here: accumulated, averaged over processes, unscaled, clipped."""

    def after_step(self, optimizer_index: int) -> None:
        """Parameters are new here."""

    def expect_step(self) -> None:
        """The step that begins now will be measured in full."""

    def rest(self) -> None:
        """The step that begins now will not be, while the one before was."""


class PassReader(StepReader):
    """A probe that looks at passes, and hands on at the step what they gave.

    With a closure the passes run within the step.
    """

    def before_step(self, optimizer_index: int) -> None:
        self.hand_on()

    def after_step(self, optimizer_index: int) -> None:
        self.hand_on()

    def hand_on(self) -> None:
        """Give the recorder what was seen since the last step, if anything was."""
