"""Which operation of a model or loss was the first to leave the numbers, found on a copy."""

from __future__ import annotations

import itertools
import linecache
import math
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import torch
from torch.overrides import TorchFunctionMode

from nn_inspector.experiments.batch_contents import tensors_of
from nn_inspector.experiments.isolation import TrainingCopy
from nn_inspector.experiments.mini_training import train
from nn_inspector.probes.origin import node_number, operation

_NODES = 4000
"""So many nodes of a graph are looked at."""

_ON_PURPOSE = re.compile(r"masked_fill_?|fill_?|full(_like)?|where|tensor|to|float|half|bfloat16|__setitem__|cat|pad")
"""What writes Inf because it was told to: a mask."""

_OURS = str(Path(__file__).parents[1])
_TORCHS = str(Path(torch.__file__).parent)
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')


@dataclass(frozen=True, slots=True)
class FirstNonfinite:
    """The operation that made NaN or Inf of finite numbers.

    Attributes:
        step: how many steps the copy had made.
        where: "forward" for its result, "backward" for its derivative.
        operation: its name, such as "log".
        line: the user's line that calls it, such as "net.py line 12: y = x.log()", if known.
        loss: the loss of that step.
    """

    step: int
    where: Literal["forward", "backward"]
    operation: str
    line: str | None
    loss: float


def find_first_nonfinite(
    copied: TrainingCopy, batches: Sequence[Any], *, steps: int, deadline: float
) -> FirstNonfinite | None:
    """Train a copy until its loss or a gradient is not finite, and look at that step closely.

    Args:
        copied: what to train; it is of no use afterwards.
        batches: used in turn.
        steps: at most so many.
        deadline: `time.monotonic()` at which to give up.

    Returns:
        None if all stayed finite, or no single operation can be blamed.

    Raises:
        ExperimentError: the batches do not fit.
    """
    done = 0

    def still_finite(trained: TrainingCopy) -> None:
        nonlocal done
        if any(p.grad is not None and not bool(torch.isfinite(p.grad).all()) for p in trained.model.parameters()):
            raise _NotFinite
        done += 1

    try:
        losses = train(copied, batches, steps=steps, before_step=still_finite, deadline=deadline)
    except _NotFinite:
        return _look(copied, batches[done % len(batches)], done, deadline)
    if math.isfinite(losses[-1]):
        return None
    return _look(copied, batches[done % len(batches)], done, deadline)


class _NotFinite(Exception):  # noqa: N818 - it ends a loop and is no error
    """A gradient is not finite."""


def _look(copied: TrainingCopy, batch: Any, step: int, deadline: float) -> FirstNonfinite | None:
    if (
        any(not bool(torch.isfinite(p).all()) for p in copied.model.parameters() if not p.is_meta)
        or time.monotonic() > deadline
    ):
        return None
    watch = _Watch()
    with torch.autograd.set_detect_anomaly(True, check_nan=False), watch:
        loss = copied.loss(batch)
    value = float(loss.detach())
    if not math.isfinite(value):
        return FirstNonfinite(step, "forward", *watch.found, value) if watch.found is not None else None
    found: list[tuple[str, str | None]] = []
    for node in _nodes(loss):
        node.register_hook(_watch_node(node, found))
    copied.model.zero_grad()
    loss.backward()
    return FirstNonfinite(step, "backward", *found[0], value) if found else None


class _Watch(TorchFunctionMode):
    """Finds the first function with finite arguments whose result is not."""

    def __init__(self) -> None:
        super().__init__()
        self._first: tuple[str, str | None] | None = None
        self._nan: tuple[str, str | None] | None = None

    @property
    def found(self) -> tuple[str, str | None] | None:
        """Its name and line; else those of the first that made NaN of Inf, as of Inf - Inf."""
        return self._first or self._nan

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        before = [] if self._first else _floats((args, kwargs))
        finite = all(_is_finite(tensor) for tensor in before)
        free_of_nan = all(not bool(tensor.isnan().any()) for tensor in before)
        result = func(*args, **kwargs)
        if self._first is None and before:
            self._judge(func, result, finite, free_of_nan)
        return result

    def _judge(self, func: Callable[..., Any], result: Any, finite: bool, free_of_nan: bool) -> None:
        name = str(getattr(func, "__name__", "")).strip("_")
        after = _floats(result)
        if _ON_PURPOSE.fullmatch(name) or all(_is_finite(tensor) for tensor in after):
            return
        if finite:
            self._first = name, _line_of_stack()
        elif self._nan is None and free_of_nan and any(bool(tensor.isnan().any()) for tensor in after):
            self._nan = name, _line_of_stack()


def _watch_node(node: Any, found: list[tuple[str, str | None]]) -> Callable[[Any, Any], None]:
    name, trace = operation(node), "".join(node.metadata.get("traceback_", ()))

    def look(grad_inputs: Sequence[Any], grad_outputs: Sequence[Any]) -> None:
        if not found and all(map(_is_finite, _floats(grad_outputs))) and not all(map(_is_finite, _floats(grad_inputs))):
            found.append((name, _line_of_trace(trace)))

    return look


def _nodes(loss: torch.Tensor) -> Iterator[Any]:
    """The nodes of a graph, but for those that hold the parameters' gradients."""
    waiting, seen = [loss.grad_fn], {loss.grad_fn}
    while waiting and len(seen) < _NODES:
        node: Any = waiting.pop()
        if node is None or node_number(node) is None:
            continue
        if not node.name().endswith("AccumulateGrad"):
            yield node
        following = [source for source, _ in node.next_functions if source is not None and source not in seen]
        seen.update(following)
        waiting.extend(following)


def _floats(value: Any) -> list[torch.Tensor]:
    return [tensor for tensor in tensors_of(value) if tensor.is_floating_point() and not tensor.is_meta]


def _is_finite(tensor: torch.Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _line_of_stack() -> str | None:
    """The innermost line of the user's between the function that is called now and the experiment."""
    frame: FrameType | None = sys._getframe(3)
    while frame is not None and not _is_ours(frame.f_code.co_filename):
        if not frame.f_code.co_filename.startswith(_TORCHS):
            return _said(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None


def _line_of_trace(trace: str) -> str | None:
    places = [(match["file"], int(match["line"])) for match in _FRAME.finditer(trace)]
    called = itertools.dropwhile(lambda place: place[0].startswith((__file__, _TORCHS)), reversed(places))
    inside = itertools.takewhile(lambda place: not _is_ours(place[0]), called)
    return next((_said(*place) for place in inside if not place[0].startswith(_TORCHS)), None)


def _is_ours(file: str) -> bool:
    return file.startswith(_OURS)


def _said(file: str, line: int) -> str:
    code = linecache.getline(file, line).strip()
    return f"{Path(file).name} line {line}" + (f": {code}" if code else "")
