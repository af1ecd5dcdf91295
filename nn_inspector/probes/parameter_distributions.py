"""Weights and gradients as distributions, by parameter."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.optim import Optimizer

from nn_inspector.probes.distributions import put_distributions
from nn_inspector.probes.gradients import GradientReader
from nn_inspector.probes.parameters import Named, ParameterNames
from nn_inspector.probes.probe import StepReader
from nn_inspector.probes.recorder import Recorder
from nn_inspector.probes.samples import Place, Samples, Taken, samples_for
from nn_inspector.stats import sums

_ALONE = ("if_nonfinite",)


class WeightDistributionProbe(StepReader):
    """Mean, spread and histogram of each parameter before a measured step, from a sample.

    Args:
        recorder: takes the measurements.
        names: of the parameters.
        alone: whether no other probe looks at all of the weights: then NaN and Inf that the samples miss are looked for.
    """

    name = "weight distribution"

    def __init__(self, recorder: Recorder, names: ParameterNames, *, alone: bool = False) -> None:
        super().__init__(recorder)
        self._alone = alone
        self._names = names
        self._samples: dict[Place, Samples] = {}

    def before_step(self, optimizer_index: int) -> None:
        for names, parameters in self._names.by_device(optimizer_index):
            for taken in _take(self._samples, (names, parameters), whole=self._alone):
                put_distributions(
                    self.recorder,
                    "weight",
                    ("mean", "spread", "histogram", *_ALONE[: self._alone]),
                    taken,
                    merged="same",
                    optimizer=optimizer_index,
                )


class GradientDistributionProbe(GradientReader):
    """Sum of each gradient that a measured step uses, and from a sample its mean, spread, zeros and histogram.

    Args:
        recorder: takes the measurements.
        optimizers: the watched ones; the list may grow.
        names: of the parameters.
        alone: whether no other probe looks at all of the gradients: then NaN and Inf that the samples miss are looked for.
    """

    name = "gradient distribution"

    def __init__(
        self, recorder: Recorder, optimizers: list[Optimizer], names: ParameterNames, *, alone: bool = False
    ) -> None:
        super().__init__(recorder, optimizers, names)
        self._alone = alone
        self._samples: dict[Place, Samples] = {}

    def look(self, optimizer_index: int, gradients: Named, scale: torch.Tensor | None) -> None:
        names, tensors = gradients
        totals = torch.stack(sums(tensors))
        if scale is not None:
            totals = totals / scale.to(totals.device)
        self.recorder.put_table(("gradient_sum",), names, totals, tags={"optimizer": optimizer_index}, if_stepped=True)
        for taken in _take(self._samples, gradients, whole=self._alone):
            put_distributions(
                self.recorder,
                "gradient",
                ("mean", "spread", "zeros", "histogram", *_ALONE[: self._alone]),
                taken if scale is None else replace(taken, rows=taken.rows / scale.to(taken.rows.device)),
                merged="same",
                if_stepped=True,
                optimizer=optimizer_index,
            )


def _take(known: dict[Place, Samples], named: Named, *, whole: bool) -> list[Taken]:
    """Samples of these tensors, which are on one device."""
    by_place: dict[int, tuple[Samples, list[str], list[torch.Tensor]]] = {}
    for name, tensor in zip(*named, strict=True):
        samples = samples_for(known, tensor, len(named[0]))
        _, names, tensors = by_place.setdefault(id(samples), (samples, [], []))
        names.append(name)
        tensors.append(tensor)
    for samples, names, tensors in by_place.values():
        samples.add_all(names, tensors, whole=whole)
    return [samples.take() for samples, _, _ in by_place.values() if samples]
