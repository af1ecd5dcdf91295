"""Sees loss functions and backward() being called, without an edit to the code that calls them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._device import DeviceContext

from nn_inspector.probes.measurement import Fact
from nn_inspector.probes.other_passes import is_transformed
from nn_inspector.probes.schedule import Schedule
from nn_inspector.stats import shape_of

LOSS_FUNCTIONS: Mapping[Any, str] = {
    function: function.__name__
    for function in (
        F.binary_cross_entropy,
        F.binary_cross_entropy_with_logits,
        F.cosine_embedding_loss,
        F.cross_entropy,
        F.ctc_loss,
        F.gaussian_nll_loss,
        F.hinge_embedding_loss,
        F.huber_loss,
        F.kl_div,
        F.l1_loss,
        F.margin_ranking_loss,
        F.mse_loss,
        F.multi_margin_loss,
        F.multilabel_margin_loss,
        F.multilabel_soft_margin_loss,
        F.nll_loss,
        F.poisson_nll_loss,
        F.smooth_l1_loss,
        F.soft_margin_loss,
        F.triplet_margin_loss,
    )
}
"""The loss functions of torch.nn.functional; the modules of torch.nn.modules.loss call these."""

_ARGUMENTS = {function: tuple(inspect.signature(function).parameters) for function in LOSS_FUNCTIONS}

_PLAIN = (bool, int, float, str)


@dataclass(frozen=True, slots=True)
class LossCall:
    """One call of a loss function. It holds the user's tensors: use it at once and drop it.

    Attributes:
        name: name in torch.nn.functional.
        prediction, target: its first two arguments, whatever they are called there.
        options: all others, by name.
        value: what it returned.
    """

    name: str
    prediction: torch.Tensor
    target: torch.Tensor
    options: Mapping[str, Any]
    value: torch.Tensor

    @property
    def sign(self) -> torch.Tensor | None:
        """What a loss that compares two inputs is told of each pair: its third argument; None for all other losses."""
        third = self.options.get("target")
        return third if isinstance(third, torch.Tensor) else None

    def facts(self) -> dict[str, Fact]:
        """What may be kept of the call: shapes, dtypes and options."""
        facts: dict[str, Fact] = {
            "prediction_shape": shape_of(self.prediction),
            "prediction_dtype": str(self.prediction.dtype),
            "target_shape": shape_of(self.target),
            "target_dtype": str(self.target.dtype),
            "result_shape": shape_of(self.value),
        }
        if self.sign is not None:
            facts |= {"sign_shape": shape_of(self.sign), "sign_dtype": str(self.sign.dtype)}
        facts.update({name: option for name, option in self.options.items() if isinstance(option, _PLAIN)})
        facts["weighted"] = any(self.options.get(name) is not None for name in ("weight", "pos_weight"))
        return facts


class CallMode(TorchFunctionMode):
    """While it is on the stack, reports calls of loss functions and of `Tensor.backward`.

    Args:
        on_loss: called after a loss function returned.
        on_backward: called with the tensor just before backward() runs on it.
        schedule: on whose account the two work.

    An exception in either switches the reports off and is kept in `failure`; the user's call is not affected.
    """

    def __init__(
        self,
        on_loss: Callable[[LossCall], None],
        on_backward: Callable[[torch.Tensor], None] | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__()
        self._on_loss = on_loss
        self._on_backward = on_backward
        self._schedule = schedule if schedule is not None else Schedule()
        self.failure: Exception | None = None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if torch.compiler.is_compiling():  # nothing of ours is in the graph
            return func(*args, **kwargs)
        if func is torch.Tensor.backward and self._on_backward is not None:
            self.report(self._on_backward, args[0])
        result = func(*args, **kwargs)
        if func in LOSS_FUNCTIONS:
            self.report(self._on_loss, loss_call(func, args, kwargs, result))
        return result

    def report(self, listener: Callable[..., None], *what: Any) -> None:
        """Tell a listener, unless one has failed; what is transformed or traced is no training."""
        if self.failure is not None or is_transformed():
            return
        self._schedule.start()
        try:
            listener(*what)
        except Exception as error:  # noqa: BLE001 - an error of ours never stops a training
            self.failure = error
        finally:
            self._schedule.stop()


def push(mode: CallMode) -> bool:
    """Put a mode on torch's stack if that is safe; return whether it was done.

    What the user enters takes whatever is on top off the stack when it closes, and that must be itself: so ours goes below
    a `with torch.device(...)`, and is not put there at all while any other mode of the user's is. The device that
    `torch.set_default_device` has set stays at the bottom, where torch looks for it.
    """
    stack = torch.overrides._get_current_function_mode_stack()
    if mode in stack or any(not isinstance(entered, DeviceContext | CallMode) for entered in stack):
        return False
    default = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    below = [entered for entered in stack if entered is default or isinstance(entered, CallMode)]
    above = [entered for entered in stack if entered not in below]
    for _ in stack:
        torch.overrides._pop_mode()
    for entered in (*below, mode, *above):
        torch.overrides._push_mode(entered)
    return True


def pop(mode: CallMode) -> None:
    """Take a mode off the stack, from under others if need be: those do not notice."""
    stack = torch.overrides._get_current_function_mode_stack()
    if mode not in stack:
        return
    above = stack[stack.index(mode) + 1 :]
    for _ in (*above, mode):
        torch.overrides._pop_mode()
    for entered in above:
        torch.overrides._push_mode(entered)


def loss_call(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> LossCall:
    """The call of one of `LOSS_FUNCTIONS`, with its arguments by name."""
    names = _ARGUMENTS[func]
    options = dict(zip(names, args, strict=False)) | kwargs
    prediction, target = (options.pop(name) for name in names[:2])
    return LossCall(LOSS_FUNCTIONS[func], prediction, target, options, result)
