"""How a loop computes its loss, as a program: plain data that can be compared and run again on another batch."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from nn_inspector.probes.structure import Path, path_text

KEPT_BYTES = 1 << 16
"""A tensor from elsewhere is kept by value up to this size; a larger one only as long as the user has it."""


@dataclass(frozen=True, slots=True)
class Ref:
    """Stands for a value of the program."""

    number: int


@dataclass(frozen=True, slots=True)
class Size:
    """Stands for a number that is made of how many items the batch has: `items * times // parts`."""

    times: int = 1
    parts: int = 1

    def of(self, items: int) -> int:
        """The number for a batch of so many items."""
        return items * self.times // self.parts


@dataclass(frozen=True, slots=True)
class Slice:
    """Stands for a slice, whose ends may be values."""

    start: Any
    stop: Any
    step: Any


@dataclass(frozen=True, slots=True)
class Built:
    """Stands for a tuple with names, of its parts."""

    kind: type
    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Altered:
    """Stands for an object of which the loop has replaced some parts."""

    of: Ref
    parts: tuple[tuple[tuple[str, Any], Any], ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """Stands for what cannot be made again; says why."""

    problem: str


@dataclass(frozen=True, slots=True)
class BatchPart:
    """A value that is a part of the batch."""

    path: Path


@dataclass(frozen=True, slots=True)
class Named:
    """A value that is a parameter or buffer of the model or of the loss."""

    owner: Literal["model", "loss"]
    name: str


@dataclass(eq=False, slots=True)
class Foreign:
    """A value that is neither: a table of class weights, a mask. It is held weakly, and by value if it is small."""

    held: Callable[[], Any]
    kept: torch.Tensor | None
    trained: int | None = None
    """How often it had been changed, if it needs a gradient: another network's weight."""

    @classmethod
    def of(cls, tensor: torch.Tensor, *, room: int = KEPT_BYTES) -> Foreign:
        """Remember a tensor from elsewhere, by value if it takes no more bytes than `room`."""
        small = tensor.numel() * tensor.element_size() <= min(room, KEPT_BYTES)
        version = tensor._version if tensor.requires_grad else None
        return cls(weakref.ref(tensor), tensor.detach().clone() if small else None, version)

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return 0 if self.kept is None else self.kept.numel() * self.kept.element_size()

    def get(self) -> torch.Tensor | None:
        """The tensor as it is now, or as it was, without a graph; None if it is gone."""
        held = self.held()
        return self.kept if held is None else held.detach()

    def is_same(self, other: Foreign) -> bool:
        """Whether both are one tensor, or have the same values."""
        if self.held() is not None and self.held() is other.held():
            return True
        a, b = self.kept, other.kept
        if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
            return False
        return bool(torch.equal(a, b))


Input = BatchPart | Named | Foreign


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """The call of the model or of one of its modules, or of the loss."""

    owner: Literal["model", "loss"]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call.

    Attributes:
        call: what is called.
        name: what it is called in texts.
        args, kwargs: with what; values as `Ref`.
        results: way in what it returned, and number, of each value that came out.
        grad: whether gradients were recorded.
        autocast: device type and dtype of automatic mixed precision.
        written: values that it changed in place.
        given: whether a check of the program takes its results as they came: a module, random numbers, a gradient.
        draws: whether it draws random numbers.
    """

    call: Callable[..., Any] | ModuleCall
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[tuple[Path, int], ...]
    grad: bool = True
    autocast: tuple[tuple[str, torch.dtype], ...] = ()
    written: frozenset[int] = frozenset()
    given: bool = False
    draws: bool = False

    @property
    def used(self) -> set[int]:
        """The values that it works on."""
        return {*refs(self.args), *refs(self.kwargs), *self.written}


@dataclass(frozen=True, slots=True)
class Tape:
    """The program.

    Attributes:
        inputs: what comes from outside of it, by number.
        operations: in order.
        objectives: what backward() was called on; the loss is their sum.
        items: how many items the batch had.
        changing: in which constants steps differed, in words: a schedule, random numbers of Python's.
        taken_back: by what the loop multiplied the loss and divided the gradients again: no part of the program.
    """

    inputs: dict[int, Input]
    operations: tuple[Operation, ...]
    objectives: tuple[int, ...]
    items: int
    changing: tuple[str, ...] = field(default=())
    taken_back: float = 1.0

    @property
    def needs_graph(self) -> bool:
        """Whether the program itself asks for gradients, as a gradient penalty does."""
        return any(operation.call is torch.autograd.grad for operation in self.operations)

    @property
    def draws(self) -> bool:
        """Whether the loop itself draws random numbers for the loss: noise, times of a diffusion, an augmentation."""
        return any(operation.draws for operation in self.operations)

    @property
    def calls_model(self) -> bool:
        """Whether the model or a module of it is called."""
        return any(isinstance(o.call, ModuleCall) and o.call.owner == "model" for o in self.operations)

    def __str__(self) -> str:
        inputs = [f"v{number} = {_input_text(one)}" for number, one in self.inputs.items()]
        lines = [
            f"{', '.join(f'v{number}' for _, number in o.results) or '_'} = {o.name}({_arguments(o)})"
            for o in self.operations
        ]
        return "\n".join([*inputs, *lines, f"loss = {' + '.join(f'v{number}' for number in self.objectives)}"])


def refs(encoded: Any) -> Iterator[int]:
    """The numbers of the values in an argument."""
    for leaf in leaves(encoded):
        if isinstance(leaf, Ref):
            yield leaf.number


def leaves(encoded: Any) -> Iterator[Any]:
    """What an argument consists of."""
    parts = children(encoded)
    if parts is None:
        yield encoded
    else:
        for part in parts:
            yield from leaves(part)


def children(encoded: Any) -> tuple[Any, ...] | None:
    """The parts of an argument that has parts; None for one that has none."""
    if isinstance(encoded, list | tuple):
        return tuple(encoded)
    if isinstance(encoded, dict):
        return tuple(encoded.values())
    if isinstance(encoded, Slice):
        return encoded.start, encoded.stop, encoded.step
    if isinstance(encoded, Built):
        return encoded.parts
    if isinstance(encoded, Altered):
        return encoded.of, *(part for _, part in encoded.parts)
    return None


def rebuild(encoded: Any, parts: list[Any]) -> Any:
    """The same argument with other parts, see `children`."""
    if isinstance(encoded, list):
        return parts
    if isinstance(encoded, tuple):
        return tuple(parts)
    if isinstance(encoded, dict):
        return dict(zip(encoded, parts, strict=True))
    if isinstance(encoded, Slice):
        return Slice(*parts)
    if isinstance(encoded, Built):
        return Built(encoded.kind, tuple(parts))
    assert isinstance(encoded, Altered), "nothing else has parts"
    return Altered(parts[0], tuple(zip([step for step, _ in encoded.parts], parts[1:], strict=True)))


def transform(encoded: Any, change: Callable[[Any], Any]) -> Any:
    """The same argument with each of its leaves changed."""
    parts = children(encoded)
    return change(encoded) if parts is None else rebuild(encoded, [transform(part, change) for part in parts])


def _input_text(source: Input) -> str:
    if isinstance(source, BatchPart):
        return f"batch{path_text(source.path)}"
    return f"{source.owner}.{source.name}" if isinstance(source, Named) else "a tensor from elsewhere"


def _arguments(operation: Operation) -> str:
    given = [*map(_text, operation.args), *(f"{key}={_text(value)}" for key, value in operation.kwargs.items())]
    return ", ".join(given)


def _text(encoded: Any) -> str:
    return str(transform(encoded, lambda leaf: f"v{leaf.number}" if isinstance(leaf, Ref) else leaf))
