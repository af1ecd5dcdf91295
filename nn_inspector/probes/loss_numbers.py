"""Numbers of the prediction and the target that a loss function was given."""

from __future__ import annotations

import torch

from nn_inspector.probes.loss_calls import LossCall
from nn_inspector.probes.measurement import Fact
from nn_inspector.probes.origin import origin
from nn_inspector.stats import is_dense, shape_of, strided_sample

MOST = 1 << 22
"""Of larger tensors a sample of so many elements is looked at."""

MOST_DISTINCT = 1000
"""Distinct values are counted up to here."""

_COUNTED = 1 << 18

_NEAR = 0.02
"""Half precision and what keeps a logarithm from 0 are no further from a sum of 1."""

_NEARLY_ZERO = 1e-3
"""A logarithm of a probability of 1 to which a little was added."""


@torch.no_grad()
def loss_numbers(call: LossCall) -> dict[str, Fact]:
    """The facts of a loss function that cost more than its shapes; see docs/trace.md."""
    prediction, target = call.prediction, call.target
    facts: dict[str, Fact] = {
        "value": float(call.value.detach().to(torch.float64).mean()),
        "same_shape": shape_of(prediction) == shape_of(target),
        "prediction_origin": origin(prediction),
    }
    facts |= {f"prediction_{name}": value for name, value in _numbers(prediction).items()}
    facts |= {f"target_{name}": value for name, value in _of_answers(target).items()}
    if call.sign is not None:
        facts |= {f"sign_{name}": value for name, value in _of_answers(call.sign).items()}
    facts |= _of_rows(prediction)
    return facts


def _of_answers(tensor: torch.Tensor) -> dict[str, Fact]:
    """The numbers of what is right, and what kind of numbers they are."""
    facts = _numbers(tensor)
    if _has_values(tensor):
        values = strided_sample(tensor.detach(), _COUNTED).to(torch.float64)
        facts["whole"] = bool((values == values.floor()).all())
        facts["distinct"] = min(int(values.unique().numel()), MOST_DISTINCT)
    return facts


def _numbers(tensor: torch.Tensor) -> dict[str, Fact]:
    if not _has_values(tensor):
        return {}
    values = strided_sample(tensor.detach(), MOST).to(torch.float64)
    finite = values[values.isfinite()]
    facts: dict[str, Fact] = {"finite": len(finite) == len(values)}
    if len(finite):
        facts |= {"low": float(finite.min()), "high": float(finite.max()), "mean": float(finite.mean())}
        facts["spread"] = float(finite.std(correction=0))
    return facts


def _of_rows(prediction: torch.Tensor) -> dict[str, Fact]:
    """What the rows of a prediction add up to, and how far its items are apart."""
    if not _has_values(prediction) or prediction.dim() == 0 or not prediction.is_floating_point():
        return {}
    items = max(1, MOST * len(prediction) // prediction.numel())
    rows = prediction.detach()[:items].to(torch.float64)
    facts: dict[str, Fact] = {}
    if rows.dim() > 1:
        sums = rows.sum(1)
        facts = {"rows_sum_mean": float(sums.mean()), "rows_sum_off": float((sums - 1).abs().max())}
        facts["sums_to_one"] = _sums_to_one(rows, whole=len(rows) == len(prediction))
    if len(rows) > 1:
        facts["between_items"] = float(rows.reshape(len(rows), -1).std(0, correction=0).mean())
    return facts


def _sums_to_one(rows: torch.Tensor, *, whole: bool) -> list[int]:
    """The axes along which values, or those whose logarithms they are, add up to 1."""
    values = rows.exp() if bool((rows <= _NEARLY_ZERO).all()) else rows
    axes = range(0 if whole else 1, rows.dim())
    return [axis for axis in axes if rows.shape[axis] > 1 and bool(((values.sum(axis) - 1).abs() < _NEAR).all())]


def _has_values(tensor: torch.Tensor) -> bool:
    plain = is_dense(tensor) and not (tensor.is_meta or tensor.is_complex() or tensor.is_quantized)
    return plain and tensor.numel() > 0
