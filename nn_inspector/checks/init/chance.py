"""The loss of a prediction that knows nothing of its input, from the user's own loss function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F

from nn_inspector.probes import LossCall


@dataclass(frozen=True, slots=True)
class Chance:
    """What a constant prediction scores.

    Attributes:
        low, high: the better and the worse of two constants: the frequencies (or mean) of the targets, and the
            prediction that prefers nothing (all classes alike, or zero).
        text: where the numbers come from, for a person.
        kind: what is predicted.
    """

    low: float
    high: float
    text: str
    kind: Literal["classes", "numbers"] = "classes"

    def explain(self, low: float, high: float) -> str:
        """The same text for other numbers (a mean over batches)."""
        return self.text.replace("{high}", f"{high:.3g}").replace("{low}", f"{low:.3g}")


def chance_level(call: LossCall) -> Chance | None:
    """Ask the loss function of `call` for its value on constant predictions.

    Because the function itself is asked, reduction, class weights, label smoothing and ignored labels are all in it.
    By formula, with mean reduction: ln C for C classes alike, the entropy of the labels for their frequencies; ln 2
    for each label of a binary cross entropy; the variance of the targets for the mean squared error.

    Returns:
        The level, with {low} and {high} still to be filled in its text; None if the loss function is not known, or if all numbers
        to predict are the same, as where a difference is asked to be zero.
    """
    makers = {
        "cross_entropy": _classes,
        "nll_loss": _classes,
        "binary_cross_entropy_with_logits": _binary,
        "binary_cross_entropy": _binary,
        "mse_loss": _regression,
        "l1_loss": _regression,
        "smooth_l1_loss": _regression,
        "huber_loss": _regression,
    }
    maker = makers.get(call.name)
    if maker is None or (
        maker is _regression and call.target.numel() > 1 and bool((call.target == call.target.flatten()[0]).all())
    ):
        return None
    function = getattr(F, call.name)
    constants, text = maker(call)
    values = [float(function(constant, call.target, **call.options)) for constant in constants]
    return Chance(min(values), max(values), text, "numbers" if maker is _regression else "classes")


def _classes(call: LossCall) -> tuple[list[torch.Tensor], str]:
    prediction, target = call.prediction.detach(), call.target
    axis = 1 if prediction.dim() > 1 else 0
    classes = prediction.shape[axis]
    if target.is_floating_point():
        frequency = target.reshape(-1, classes).mean(0) if axis == 1 and prediction.dim() == 2 else torch.ones(classes)
    else:
        ignored = call.options.get("ignore_index", -100)
        counted = target[(target != ignored) & (target >= 0) & (target < classes)]
        frequency = torch.bincount(counted.reshape(-1), minlength=classes).to(prediction.dtype)
    frequency = (frequency.to(prediction.device) + 1e-3).clamp(min=1e-3)
    log_frequency = (frequency / frequency.sum()).log()
    shape = [1] * prediction.dim()
    shape[axis] = classes
    alike = torch.full_like(prediction, 1 / classes).log()
    frequent = log_frequency.to(prediction.dtype).reshape(shape).expand_as(prediction)
    return [alike, frequent.contiguous()], f"{{high}} ({classes} classes)"


def _binary(call: LossCall) -> tuple[list[torch.Tensor], str]:
    prediction, target = call.prediction.detach(), call.target
    frequency = target.to(prediction.dtype).mean(0, keepdim=True).clamp(1e-3, 1 - 1e-3).expand_as(prediction)
    half = torch.full_like(prediction, 0.5)
    if call.name == "binary_cross_entropy_with_logits":
        return [half.logit(), frequency.logit()], "{high} (an even chance for each label)"
    return [half, frequency.contiguous()], "{high} (an even chance for each label)"


def _regression(call: LossCall) -> tuple[list[torch.Tensor], str]:
    prediction, target = call.prediction.detach(), call.target
    mean = torch.full_like(prediction, float(target.float().mean()))
    text = "between {low} (always the mean of the targets) and {high} (always 0)"
    return [mean, torch.zeros_like(prediction)], text
