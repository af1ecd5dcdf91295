"""Rules of published tools, made anew from their sources; each names the check of ours that asks the same.

TDC is TheDeepChecker (Braiek and Khomh 2022), SMD the built-in rules of SageMaker Debugger, UMLAUT that of Schoop et al.
(2021), Lightning the spike detection of PyTorch Lightning. Thresholds are theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from types import TracebackType
from typing import Any

import torch
from torch import nn

WINDOW = 10
"""Steps of a period, as in TDC."""

_BOUNDED = (nn.Sigmoid, nn.Tanh)


class Collector:
    """What the rules ask for, taken at every step with hooks.

    Attributes:
        losses: one a step.
        gradients: mean size of each weight's gradient, a row for each step.
        updates: log10 of the mean size of an update over that of the weight, likewise.
        dead: largest output of each unit of a ReLU over the last steps, by module.
        saturated: share of the outputs of a sigmoid or tanh at its ends, by module.
        outputs: variance over the items of what the model returned, one a pass.
        inputs: mean and largest size of what the model was given, one a pass.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._weights = [p for p in model.parameters() if p.dim() > 1]
        self._before = [p.detach().clone() for p in self._weights]
        self._handles: list[Any] = []
        self.losses: list[float] = []
        self.gradients: list[list[float]] = []
        self.updates: list[list[float]] = []
        self.dead: dict[str, list[torch.Tensor]] = {}
        self.saturated: dict[str, float] = {}
        self.outputs: list[float] = []
        self.inputs: list[tuple[float, float]] = []

    def __enter__(self) -> Collector:  # noqa: PYI034 - Self needs Python 3.11
        for name, module in self._model.named_modules():
            if isinstance(module, nn.ReLU):
                self._handles.append(module.register_forward_hook(self._on_relu(name)))
            elif isinstance(module, _BOUNDED):
                self._handles.append(module.register_forward_hook(self._on_bounded(name)))
        self._handles.append(self._model.register_forward_hook(self._on_model))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def step(self, loss: float) -> None:
        """The optimizer has stepped."""
        self.losses.append(loss)
        self.gradients.append([_mean(p.grad) for p in self._weights if p.grad is not None])
        now = [p.detach() for p in self._weights]
        self.updates.append([_log_ratio(new - old, old) for new, old in zip(now, self._before, strict=True)])
        self._before = [p.clone() for p in now]

    def _on_relu(self, name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: torch.Tensor) -> None:
            if output.dim() > 1:
                rest = [axis for axis in range(output.dim()) if axis != 1]
                largest = output.detach().abs().amax(rest)
                self.dead[name] = [*self.dead.get(name, []), largest][-WINDOW:]

        return hook

    def _on_bounded(self, name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: torch.Tensor) -> None:
            ends = output.detach().abs() if isinstance(module, nn.Tanh) else (2 * output.detach() - 1).abs()
            self.saturated[name] = float((ends > 0.95).float().mean())

        return hook

    def _on_model(self, module: nn.Module, args: Any, output: Any) -> None:
        if not module.training:
            return
        if isinstance(output, torch.Tensor) and output.dim() > 1 and len(output) > 1:
            self.outputs.append(float(output.detach().float().var(0).mean()))
        if args and isinstance(args[0], torch.Tensor) and args[0].is_floating_point():
            self.inputs.append((float(args[0].float().mean()), float(args[0].abs().max())))


def judged(seen: Collector) -> list[str]:
    """The checks that the rules speak for, data first, then what the training was like."""
    return [check for check, holds in _RULES if holds(seen)]


def _nonfinite(seen: Collector) -> bool:
    """All of them."""
    return any(not math.isfinite(loss) for loss in seen.losses)


def _unscaled(seen: Collector) -> bool:
    """SMD on the mean, torch-audit on the largest."""
    return any(abs(mean) > 0.2 or largest > 50 for mean, largest in seen.inputs[:1])


def _constant(seen: Collector) -> bool:
    """TDC: no variance in five periods."""
    last = seen.outputs[-5 * WINDOW :]
    return len(last) == 5 * WINDOW and max(last) == 0


def _dead(seen: Collector) -> bool:
    """TDC: most units of a layer stay below 1e-5 for a period."""
    windows = [rows for rows in seen.dead.values() if len(rows) == WINDOW and len({row.shape for row in rows}) == 1]
    return any(float((torch.stack(rows).amax(0) < 1e-5).float().mean()) > 0.5 for rows in windows)


def _saturated(seen: Collector) -> bool:
    """DeepDiagnosis: most outputs at an end."""
    return any(share > 0.5 for share in seen.saturated.values())


def _vanishing(seen: Collector) -> bool:
    """SMD."""
    return any(size < 1e-7 for size in _after_the_first(seen.gradients))


def _exploding(seen: Collector) -> bool:
    """TDC."""
    return any(size > 1e6 for size in _after_the_first(seen.gradients))


def _rate(seen: Collector) -> bool:
    """TDC: a step changes the weights by less than 1e-4 or by more than 1e-1 of themselves."""
    usual = _after_the_first(seen.updates)
    return bool(usual) and not -4 <= sum(usual) / len(usual) <= -1


def _spike(seen: Collector) -> bool:
    """Lightning: three times the loss before."""
    return any(late > 3 * early > 0 for early, late in pairwise(seen.losses))


def _stuck(seen: Collector) -> bool:
    """TDC: means over four periods in a row differ by less than 5 %."""
    losses = seen.losses
    periods = [sum(losses[at : at + WINDOW]) / WINDOW for at in range(0, len(losses) - WINDOW + 1, WINDOW)]
    alike = [abs(late - early) < 0.05 * abs(early) for early, late in pairwise(periods)]
    return any(all(alike[at : at + 4]) for at in range(len(alike) - 3))


_RULES: tuple[tuple[str, Callable[[Collector], bool]], ...] = (
    ("nonfinite", _nonfinite),
    ("input_scale", _unscaled),
    ("learning_rate", _rate),
    ("exploding_gradients", _exploding),
    ("vanishing_gradients", _vanishing),
    ("dead_units", _dead),
    ("saturation", _saturated),
    ("constant_predictions", _constant),
    ("no_learning", _stuck),
    ("loss_spike", _spike),
)


def _after_the_first(rows: Sequence[Sequence[float]]) -> list[float]:
    return [value for row in rows[WINDOW:] for value in row if math.isfinite(value)]


def _mean(values: torch.Tensor) -> float:
    return float(values.detach().abs().mean())


def _log_ratio(change: torch.Tensor, weight: torch.Tensor) -> float:
    size, base = _mean(change), _mean(weight)
    return math.log10(size / base) if size > 0 and base > 0 else math.nan
