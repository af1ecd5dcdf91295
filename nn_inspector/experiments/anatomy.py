"""One forward and backward pass of a copy, taken apart: what ran in which order, on what, and what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode, resolve_name

from nn_inspector.errors import ExperimentError
from nn_inspector.experiments.batch_contents import tensors_of
from nn_inspector.experiments.isolation import TrainingCopy
from nn_inspector.probes import CallMode, LossCall, first_tensor
from nn_inspector.stats import is_dense

MOST_CALLS = 20_000
MOST_BYTES = 1 << 29
"""A pass with more calls, or with more in its tensors, is too large to be taken apart."""

_ASIDE = frozenset(
    {"__get__", "__set__", "size", "dim", "numel", "is_floating_point", "is_complex", "__hash__", "__len__"}
)
"""What asks about a tensor and computes nothing."""

_ATTRIBUTES = frozenset({"T", "mT", "H", "mH", "data", "real", "imag"})
"""Attributes of a tensor that are tensors made of it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a torch function, by a module or by code of the user's.

    Attributes:
        name: plain name: "relu" for `F.relu`, `torch.relu`, `x.relu_()` and what `nn.ReLU` does, "add" for `+`.
        module: name of the innermost module that ran then; "" for the model itself, None outside of its forward pass.
        inputs: the tensors among its arguments, as they were at that moment if nothing changed them in place later.
        output: the first tensor that it returned.
        options: all other arguments that were given, by position ("0", "1", ...) or by name.
        outputs: all tensors that it returned.
    """

    name: str
    module: str | None
    inputs: tuple[torch.Tensor, ...]
    output: torch.Tensor | None
    options: Mapping[str, Any]
    outputs: tuple[torch.Tensor, ...] = ()


@dataclass(frozen=True, slots=True)
class ModuleRun:
    """One call of a module.

    Attributes:
        name: its name in the model; "" for the model itself.
        module: the module of the copy.
        inputs: the tensors that it got.
        output: the first tensor that it returned.
        leaf: whether it holds no other modules.
    """

    name: str
    module: nn.Module
    inputs: tuple[torch.Tensor, ...]
    output: torch.Tensor | None
    leaf: bool


@dataclass
class Anatomy:
    """What was seen in one pass.

    Attributes:
        model: the copy; its weights are those of the moment.
        batch: the batch that was used.
        modules: in the order in which they returned.
        calls: torch functions in the order of their calls, those inside modules included.
        loss_calls: calls of loss functions.
        loss: value of the loss; its tensor has no graph any more.
        output: what the model returned last.
        gradients: of each trainable parameter, by name; None where it got none.
    """

    model: nn.Module
    batch: Any
    modules: list[ModuleRun] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    loss_calls: list[LossCall] = field(default_factory=list)
    loss: float = float("nan")
    output: Any = None
    gradients: dict[str, torch.Tensor | None] = field(default_factory=dict)

    @property
    def leaves(self) -> list[ModuleRun]:
        """The calls of modules that hold no others."""
        return [run for run in self.modules if run.leaf]

    @property
    def prediction(self) -> torch.Tensor | None:
        """What the only loss function was given to judge, or the first tensor of the model's output."""
        return self.loss_calls[0].prediction if len(self.loss_calls) == 1 else first_tensor(self.output)

    @property
    def target(self) -> torch.Tensor | None:
        """What the only loss function was told to reach; None if there were several calls or none."""
        return self.loss_calls[0].target if len(self.loss_calls) == 1 else None

    def named(self, *names: str) -> list[Call]:
        """The calls of these names, in order."""
        return [call for call in self.calls if call.name in names]


def take_apart(
    copied: TrainingCopy, batch: Any, *, training: bool = True, backward: bool = True, alone: bool = False
) -> Anatomy:
    """Run a copy once on a batch and note everything that it does.

    Args:
        copied: see `isolated`.
        batch: what the loader yields.
        training: in training mode, else in evaluation mode.
        backward: whether gradients are computed as well.
        alone: the model alone on the batch's inputs, without a loss and so without gradients.

    Raises:
        ExperimentError: the batch does not fit, the loss is not known, or the pass is too large.
    """
    seen = Anatomy(copied.model, batch)
    recorder = _Recorder(seen)
    handles = list(recorder.hook(copied.model))
    copied.train_mode()
    if not training:
        copied.model.eval()
    copied.model.zero_grad(set_to_none=True)
    try:
        with CallMode(seen.loss_calls.append), recorder:
            loss = None if alone else copied.loss(batch)
            if alone:
                copied.predict(batch)
        if loss is not None:
            seen.loss = float(loss.detach())
            if backward and loss.requires_grad:
                copied.backward(loss)
    finally:
        for handle in handles:
            handle.remove()
        copied.train_mode()
    parameters = copied.model.named_parameters()
    seen.gradients = {name: None if p.grad is None else p.grad.detach() for name, p in parameters if p.requires_grad}
    copied.model.zero_grad(set_to_none=True)
    return seen


class _Recorder(TorchFunctionMode):
    """Notes torch functions and, by its hooks, modules."""

    def __init__(self, seen: Anatomy) -> None:
        super().__init__()
        self._seen = seen
        self._running: list[str] = []
        self._bytes = 0
        self._names: dict[Any, str] = {}

    def hook(self, model: nn.Module) -> Iterator[Any]:
        for name, module in model.named_modules():
            yield module.register_forward_pre_hook(self._enter(name))
            yield module.register_forward_hook(self._leave(name), with_kwargs=True)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = self._names.get(func)
        if name is None:
            name = self._names[func] = plain_name(func)
        if name not in _ASIDE:
            self._note(name, args, kwargs or {}, result)
        return result

    def _note(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        given = {**{str(place): value for place, value in enumerate(args)}, **kwargs}
        inputs = tuple(tensors_of(list(given.values())))
        options = {key: value for key, value in given.items() if not isinstance(value, torch.Tensor)}
        output = first_tensor(result)
        self._count(output)
        module = self._running[-1] if self._running else None
        self._seen.calls.append(Call(name, module, inputs, output, options, tuple(tensors_of(result))))

    def _enter(self, name: str) -> Callable[..., None]:
        def enter(module: nn.Module, args: Any) -> None:
            self._running.append(name)

        return enter

    def _leave(self, name: str) -> Callable[..., None]:
        def leave(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            self._running.pop()
            inputs, leaf = tuple(tensors_of([args, kwargs])), next(module.children(), None) is None
            self._seen.modules.append(ModuleRun(name, module, inputs, first_tensor(output), leaf))
            if not name:
                self._seen.output = output

        return leave

    def _count(self, output: torch.Tensor | None) -> None:
        if output is not None and is_dense(output):
            self._bytes += output.numel() * output.element_size()
        if self._bytes > MOST_BYTES or len(self._seen.calls) > MOST_CALLS:
            raise ExperimentError("One pass of this network is too large to be taken apart.")


def plain_name(function: Callable[..., Any]) -> str:
    """What a torch function is called, whichever way it is reached.

    Example:
        >>> [plain_name(f) for f in (torch.nn.functional.relu, torch.relu_, torch.Tensor.__matmul__, torch.Tensor.softmax)]
        ['relu', 'relu', 'matmul', 'softmax']
    """
    name = getattr(function, "__name__", "") or str(resolve_name(function)).rpartition(".")[2]
    if name == "__get__":
        attribute = str(resolve_name(function)).split(".")[-2]
        return attribute if attribute in _ATTRIBUTES else name
    if name in _ASIDE:
        return name
    name = name.strip("_")
    return name[1:] if name in ("radd", "rmul", "rsub", "rdiv", "rtruediv", "rpow", "rmatmul") else name
