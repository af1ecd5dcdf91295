"""What may be kept of a call of a torch function: its name, shapes and axis, and what its arguments were made of."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from nn_inspector.probes.measurement import Fact
from nn_inspector.probes.outputs import all_tensors
from nn_inspector.stats import shape_of

_LEAVING = frozenset({"item", "tolist", "numpy", "float", "int", "bool", "array"})
"""Functions that return no tensor and are noted all the same: they take a number out of the graph."""

_ALONG_SECOND = frozenset(
    {
        "all", "amax", "amin", "any", "argmax", "argmin", "argsort", "cat", "chunk", "concat", "cummax", "cumprod", "cumsum",
        "gather", "index_select", "log_softmax", "logsumexp", "max", "mean", "median", "min", "mode", "normalize", "prod",
        "select", "softmax", "softmin", "sort", "squeeze", "stack", "std", "sum", "topk", "unbind", "unsqueeze", "var",
    }
)  # fmt: skip
"""Functions whose second argument is the axis."""

_BY_PAIRS = frozenset({"sub", "rsub", "mul", "div"})
"""Functions that go by pairs of elements, and with which a loss is made."""


def function_name(func: Callable[..., Any]) -> str:
    """The name of a torch function, without the underscores of an operator; of a property its own.

    Example:
        >>> function_name(torch.Tensor.__rsub__), function_name(torch.Tensor.data.__get__), function_name(torch.Tensor.add_)
        ('rsub', 'data', 'add_')
    """
    name = str(getattr(func, "__name__", type(func).__name__))
    if name in ("__get__", "__set__"):
        return str(getattr(getattr(func, "__self__", None), "__name__", name))
    return name[2:-2] if name.startswith("__") and name.endswith("__") else name


def is_noted(name: str, result: Any) -> bool:
    """Whether a call is worth a word: it returned a tensor, or took a number out of one."""
    return name in _LEAVING or bool(all_tensors(result)) or name == "setitem"


def is_spread(name: str, args: tuple[Any, ...], result: Any) -> bool:
    """Whether a call has met a column with a row, element by element, so that its result has a number for each pair.

    Example:
        >>> column, row = torch.zeros(5, 1), torch.zeros(5)
        >>> is_spread("sub", (column, row), column - row), is_spread("sub", (row, row), row - row)
        (True, False)
    """
    if name not in _BY_PAIRS or len(args) < 2 or not all(isinstance(one, torch.Tensor) for one in (*args[:2], result)):
        return False
    wide, narrow = sorted((tuple(args[0].shape), tuple(args[1].shape)), key=len, reverse=True)
    return len(narrow) == 1 and narrow[0] > 1 and wide == (narrow[0], 1)


def shape_text(tensor: torch.Tensor) -> str:
    """A shape as text.

    Example:
        >>> shape_text(torch.zeros(16, 1)), shape_text(torch.zeros(()))
        ('16x1', 'scalar')
    """
    return "x".join(map(str, shape_of(tensor))) or "scalar"


def axis_of(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int | None:
    """The axis that a function was told to work along, counted from 0, if it is one."""
    axis = kwargs.get("dim", kwargs.get("axis"))
    if axis is None and len(args) > 1 and name.rstrip("_") in _ALONG_SECOND:
        axis = args[1]
    if isinstance(axis, tuple | list) and len(axis) == 1:
        axis = axis[0]
    if isinstance(axis, bool) or not isinstance(axis, int):
        return None
    tensors = all_tensors(args)
    axes = tensors[0].dim() + (name in ("stack", "unsqueeze")) if tensors else 0
    return axis if axis >= 0 else axis + axes


class Makings:
    """What tensors were made of: "prediction", "target", "input", "parameters". Tensors are held weakly."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[torch.Tensor], frozenset[str]]] = {}

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()

    def mark(self, tensors: Iterable[torch.Tensor], *of: str) -> None:
        """From now on these tensors are made of `of`."""
        for tensor in tensors:
            self._known[id(tensor)] = weakref.ref(tensor), frozenset(of)

    def of(self, tensor: torch.Tensor) -> frozenset[str]:
        """What a tensor was made of; nothing where that is not known."""
        found = self._known.get(id(tensor))
        return found[1] if found is not None and found[0]() is tensor else frozenset()

    def derive(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        """What a function returned is made of what it was given."""
        of = frozenset[str]().union(*(self.of(tensor) for tensor in all_tensors((args, kwargs))))
        if of:
            self.mark(all_tensors(result), *of)


def call_facts(
    name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any, makings: Makings
) -> dict[str, Fact]:
    """The facts of a "function" in the trace; see docs/trace.md."""
    given = all_tensors((args, kwargs))
    returned = all_tensors(result)
    return {
        "name": name,
        "shapes": [shape_text(tensor) for tensor in given],
        "of": ["+".join(sorted(makings.of(tensor))) for tensor in given],
        "result_shape": shape_of(returned[0]) if returned else None,
        "dim": axis_of(name, args, kwargs),
    }
