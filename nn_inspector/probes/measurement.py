"""What a probe hands on: one measured value, or one thing that happened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

Tag = str | int | float | bool
Fact = Tag | None | list[int] | list[float] | list[str]

QUANTITIES: Mapping[str, str] = MappingProxyType(
    {
        "loss": "value of the loss function; source: train or validation",
        "objective": "value that backward() was called on, where it is not the loss itself",
        "prediction_spread": "standard deviation of the predictions between the items of a batch, mean over outputs; source: train",
        "prediction_mean": "mean of the predictions; source: train",
        "prediction_top_share": "of class scores, share of the class that is predicted most often in a batch; source: train",
        "target_spread": "standard deviation of targets that are numbers between the items of that batch; source: train",
        "target_top_share": "share of the most frequent class among the targets of that batch; source: train",
        "learning_rate": "learning rate; source: parameter group",
        "gradient_norm": "Euclidean norm of the gradient that the step uses; source: parameter",
        "gradient_sum": "sum of the elements of that gradient; source: parameter",
        "weight_norm": "Euclidean norm before the step; source: parameter",
        "update_norm": "Euclidean norm of what the step changed; source: parameter",
        "update_ratio": "update_norm / weight_norm; source: parameter",
        "kept_gradient": "1 if the gradient of the last step was still there when backward() began; source: optimizer",
        "cleared_gradient": "1 if the gradient was cleared between backward() and step(), else 0; source: optimizer",
        "gradient_left": "norm of a gradient at the step over that after backward(): what clipping left; source: optimizer",
        "training_mode": "1 if model.training, else 0; source: train or validation",
        "activation_mean": "mean of a module's output; source: module",
        "activation_spread": "standard deviation of a module's output; source: module",
        "activation_zeros": "share of exact zeros in a module's output; source: module",
        "activation_saturated": "share of a bounded activation's output at its ends; source: module",
        "activation_nonfinite": "share of NaN and Inf in a module's output; source: module",
        "activation_histogram": "counts of a module's output by sign and power of two; source: module",
        "activation_gradient_mean": "mean of the gradient at a module's output; source: module",
        "activation_gradient_spread": "standard deviation of the gradient at a module's output; source: module",
        "activation_gradient_zeros": "share of exact zeros in the gradient at a module's output; source: module",
        "activation_gradient_nonfinite": "share of NaN and Inf in the gradient at a module's output; source: module",
        "activation_gradient_norm": "Euclidean norm of the gradient at a module's output, estimated; source: module",
        "activation_gradient_histogram": "counts of that gradient by sign and power of two; source: module",
        "weight_mean": "mean before the step, from a sample; source: parameter",
        "weight_spread": "standard deviation before the step, from a sample; source: parameter",
        "weight_nonfinite": "share of NaN and Inf, where there are any and weight_norm is not measured; source: parameter",
        "weight_histogram": "counts of a sample of the weights by sign and power of two; source: parameter",
        "gradient_mean": "mean of the gradient that the step uses, from a sample; source: parameter",
        "gradient_spread": "standard deviation of that gradient, from a sample; source: parameter",
        "gradient_zeros": "share of exact zeros in a sample of that gradient; source: parameter",
        "gradient_nonfinite": "share of NaN and Inf, where there are any and gradient_norm is not measured; source: parameter",
        "gradient_histogram": "counts of a sample of that gradient by sign and power of two; source: parameter",
        "dead_units": "share of units that gave zero for every item in the last 10 measured steps; source: module",
        "saturated_units": "share of units at an end of the activation for every item in these steps; source: module",
        "unit_activity": "share of items for which a unit is neither zero nor at an end, for at most 256 units; source: module",
        "optimizer_moment_norm": "Euclidean norm of a tensor in the optimizer's state; source: parameter:key",
        "hidden_norm": "norm of the hidden state at 16 places of the sequence, mean over the batch; source: module",
        "attention_entropy": "entropy of attention weights over the greatest possible, 0 to 1; source: module",
        "confusion": "pairs of class and prediction, [classes * classes]; source: train (a batch) or validation (a pass)",
        "fixed_batch": "prediction, target and probability of what is true, of items that stay the same; source: train",
        "worst_items": "loss, prediction, target, place and index of the worst items of a batch; source: train or outlier",
        "sample": "shape and numbers of one of these items, where keep_samples allows; source: (outlier and) its rank from 0",
        "step_seconds": "seconds from step to step without what is ours; source: train",
        "data_seconds": "seconds of a step spent waiting for the loader; source: train",
        "own_seconds": "seconds of a step that watching took besides; source: train",
        "memory_bytes": "bytes in memory; source: process, or the device",
    }
)
"""Names of what the probes measure. A user may log other names."""


class Measurement(NamedTuple):
    """One measured value. Hundreds are made in a step: a named tuple is the cheapest record there is.

    Attributes:
        step: how many optimizer steps were complete when it was measured.
        quantity: what was measured (see `QUANTITIES`).
        source: of what: the name of a module, parameter, parameter group, optimizer or phase.
        value: a number, or a vector of numbers of a fixed length for this quantity.
        tags: how it was measured, for example {"mode": "train", "call": 0}.
    """

    step: int
    quantity: str
    source: str
    value: float | np.ndarray
    tags: Mapping[str, Tag] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class MeasurementTable:
    """One measured value for each quantity and source, all of one step: one object where there would be hundreds.

    Attributes:
        step: how many optimizer steps were complete when they were measured.
        quantities: what was measured; each value is that of one pair of these and
        sources: of what.
        values: float64 [quantities, sources], or [quantities, sources, width] where each value is a vector.
        tags: how all of them were measured.
    """

    step: int
    quantities: tuple[str, ...]
    sources: tuple[str, ...]
    values: np.ndarray
    tags: Mapping[str, Tag] = field(default_factory=dict)

    def measurements(self) -> Iterator[Measurement]:
        """The values one by one.

        Example:
            >>> table = MeasurementTable(3, ("weight_norm", "update_norm"), ("0.weight",), np.array([[2.0], [0.5]]))
            >>> [(one.quantity, one.value) for one in table.measurements()]
            [('weight_norm', 2.0), ('update_norm', 0.5)]
        """
        rows = self.values.tolist() if self.values.ndim == 2 else self.values
        for quantity, row in zip(self.quantities, rows, strict=True):
            for source, value in zip(self.sources, row, strict=True):
                yield Measurement(self.step, quantity, source, value, self.tags)


Measured = Measurement | MeasurementTable
"""What probes hand on."""


def one_by_one(measured: Iterable[Measured]) -> Iterator[Measurement]:
    """The measurements, and those in the tables."""
    for one in measured:
        if isinstance(one, MeasurementTable):
            yield from one.measurements()
        else:
            yield one


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """One call that the training loop made in its first steps, in the order of the calls.

    Attributes:
        step: how many optimizer steps were complete.
        call: "batch", "forward", "module", the name of a loss function, "function", "backward", "clip", "unscale",
            "zero_grad", "scheduler" or "step"; docs/trace.md lists the facts of each.
        facts: shapes, dtypes, options and numbers of the call; plain values only, never a tensor.
    """

    step: int
    call: str
    facts: Mapping[str, Fact]
