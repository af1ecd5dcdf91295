"""What an expression of a loop stands for, as far as its source and the objects behind its names say."""

from __future__ import annotations

import ast
import inspect
import re
import types
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils.data import DataLoader

from nn_inspector.checks.loop.reading.events import Term

Role = Literal[
    "",
    "optimizer",
    "scheduler",
    "model",
    "networks",
    "loss",
    "scaler",
    "loader",
    "parameter",
    "parameters",
    "gradient",
    "weights",
]
Alias = Literal["", "batch", "stored", "input"]


class Unknown:
    """Stands for an object that is not known."""


UNKNOWN = Unknown()

_PLAIN = (str, bytes, int, float, Mapping, list, tuple, set, torch.Tensor, np.ndarray)

SOMETHING = "?"
"""A network or parameter that is not known."""


@dataclass(frozen=True)
class LocalFunction:
    """A function that is defined within the code that is read: its node, and the variables around it."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    around: Any


@dataclass(frozen=True)
class Value:
    """What is known of the value of an expression.

    Attributes:
        known: the object itself, or UNKNOWN.
        role: what it is in a training, if it is made in the code that is read.
        live: networks and parameters that a gradient of it reaches.
        cut: those it was computed with, but that no gradient of it reaches.
        alias: whose memory it may share: that of a batch, of data outside of the loop, of a module's input.
        sign: -1 where it was negated, else 1.
        is_loss: whether it is what a loss function returned, perhaps with another sign or a factor.
        terms: its summands, where it is a sum.
        parts: of a tuple or list, its elements.
        function: where it is a function of the code that is read.
        place: where it was computed, if it got a name there.
        settled: whether it was the same whenever the code ran: it came from outside.
    """

    known: Any = UNKNOWN
    role: Role = ""
    live: frozenset[Hashable] = frozenset()
    cut: frozenset[Hashable] = frozenset()
    alias: Alias = ""
    sign: int = 1
    is_loss: bool = False
    terms: tuple[Term, ...] = ()
    parts: tuple[Value, ...] = ()
    function: LocalFunction | None = None
    place: str = ""
    settled: bool = False

    @property
    def is_known(self) -> bool:
        return self.known is not UNKNOWN

    @property
    def computed(self) -> bool:
        """Whether a network or parameter had a part in it."""
        return bool(self.live or self.cut)

    def without_gradient(self) -> Value:
        """The same numbers, cut off from what they were computed with; the memory stays shared."""
        return Value(alias=self.alias, cut=self.live | self.cut, parts=tuple(p.without_gradient() for p in self.parts))

    def copied(self) -> Value:
        """The same, in memory of its own."""
        return replace(self, known=UNKNOWN, alias="", parts=(), settled=False)


NOTHING = Value()


def union(values: Iterable[Value]) -> Value:
    """What is computed of all these values."""
    found = list(values)
    live = frozenset().union(*(one.live for one in found))
    return Value(live=live, cut=frozenset().union(*(one.cut for one in found)))


def lift(found: Any) -> Value:
    """What is known of an object that the code names."""
    value = Value(known=found, role=role_of(found), settled=True)
    if isinstance(found, torch.Tensor):
        if found.requires_grad and found.is_leaf:
            return replace(value, live=frozenset({Held(found)}), role="parameter")
        return replace(value, alias="stored") if not found.requires_grad else value
    return replace(value, alias="stored") if isinstance(found, np.ndarray) else value


class Held:
    """An object by its identity: what it is equal to does not matter, and it need not be hashable."""

    __slots__ = ("it",)

    def __init__(self, it: Any) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Held) and other.it is self.it

    def __hash__(self) -> int:
        return id(self.it)


_KINDS: tuple[tuple[Any, Role], ...] = (
    (Optimizer, "optimizer"),
    ((LRScheduler, ReduceLROnPlateau), "scheduler"),
    (torch.amp.GradScaler, "scaler"),
    (nn.modules.loss._Loss, "loss"),
    (nn.Module, "model"),
    (DataLoader, "loader"),
    (nn.Parameter, "parameter"),
)


def role_of(found: Any) -> Role:
    """What an object, or an instance of a class, is in a training.

    Example:
        >>> role_of(nn.Linear(2, 2)), role_of(torch.optim.SGD), role_of("loss")
        ('model', 'optimizer', '')
    """
    kind = found if isinstance(found, type) else type(found)
    return next((role for base, role in _KINDS if issubclass(kind, base)), "")


_NAMES: tuple[tuple[str, Role], ...] = (
    (r"sched|plateau|warm_?up|lr_?step", "scheduler"),
    (r"opt|adam|sgd|rmsprop", "optimizer"),
    (r"scaler", "scaler"),
    (r"criterion|loss_?f|loss_fn|lossfn|objective", "loss"),
    (r"loader|batches|dataset|data_iter", "loader"),
    (r"model|net\b|net[a-z]?$|generator|discriminator|critic|actor|policy|encoder|decoder|student|teacher", "model"),
)


def role_of_name(name: str) -> Role:
    """What a name that stands for an unknown object is usually given to.

    Example:
        >>> role_of_name("self.optimizer_g"), role_of_name("lr_scheduler"), role_of_name("env")
        ('optimizer', 'scheduler', '')
    """
    last = name.rpartition(".")[2].lower()
    return next((role for pattern, role in _NAMES if re.search(pattern, last)), "")


def attribute(owner: Any, name: str) -> Any:
    """An attribute of an object without running code of the user's; UNKNOWN where that cannot be done.

    Example:
        >>> attribute(nn.Linear(2, 3), "bias").shape, attribute("text", "upper")
        (torch.Size([3]), <nn_inspector.checks.loop.reading.values.Unknown object at ...>)
    """
    if isinstance(owner, types.ModuleType | type):
        return getattr(owner, name, UNKNOWN)
    held = [getattr(owner, "__dict__", None) or {}]
    if isinstance(owner, nn.Module):
        held += [owner._modules, owner._parameters, owner._buffers]
    for one in held:
        if name in one:
            return one[name]
    return UNKNOWN if isinstance(owner, _PLAIN) else _of_class(owner, name)


def _of_class(owner: Any, name: str) -> Any:
    found = inspect.getattr_static(type(owner), name, UNKNOWN)
    if isinstance(found, staticmethod):
        return found.__func__
    if isinstance(found, classmethod):
        return types.MethodType(found.__func__, type(owner))
    if isinstance(found, types.FunctionType):
        return types.MethodType(found, owner)
    return UNKNOWN if hasattr(type(found), "__get__") else found


def item(owner: Any, key: Any) -> Any:
    """An element of a plain list, tuple or dict; UNKNOWN for anything else."""
    try:
        if type(owner) in (list, tuple, dict) or isinstance(owner, nn.ModuleList | nn.ModuleDict | nn.Sequential):
            return owner[key]
    except (KeyError, IndexError, TypeError):
        pass
    return UNKNOWN
