"""What is compared between runs: quantities by layer, in the order in which a step makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nn_inspector.history.run import Run
from nn_inspector.history.series import Series

Kind = Literal["setting", "magnitude", "rising", "share"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that is compared.

    Attributes:
        name: what `series_of` calls it.
        words: for people.
        kind: a "setting" is exact; a "magnitude" is compared by factors, one that is "rising" only upwards; a "share" by
            differences.
        backward: whether a step makes it from the last layer to the first.
    """

    name: str
    words: str
    kind: Kind
    backward: bool = False

    @property
    def of_a_layer(self) -> bool:
        """Whether it is measured of each layer."""
        return self.name not in ("loss", "learning_rate")

    def of(self, source: str) -> str:
        """The quantity of a source, in words.

        Example:
            >>> COMPARED[2].of("encoder.0"), COMPARED[7].of("train"), COMPARED[7].of("validation")
            ('spread of the outputs of encoder.0', 'loss', 'validation loss')
        """
        if self.name == "loss":
            return self.words if source == "train" else f"{source} {self.words}"
        return f"{self.words} of {source}"


COMPARED = (
    Quantity("learning_rate", "learning rate", "setting"),
    Quantity("activation_nonfinite", "share of NaN and Inf among the outputs", "setting"),
    Quantity("activation_spread", "spread of the outputs", "magnitude"),
    Quantity("activation_zeros", "share of zeros among the outputs", "share"),
    Quantity("activation_saturated", "share of outputs at their ends", "share"),
    Quantity("dead_units", "share of dead units", "share"),
    Quantity("saturated_units", "share of saturated units", "share"),
    Quantity("loss", "loss", "rising"),
    Quantity("activation_gradient_norm", "gradient at the outputs", "magnitude", backward=True),
    Quantity("gradient_norm", "gradient norm", "magnitude", backward=True),
    Quantity("update_ratio", "update / weight", "magnitude"),
    Quantity("weight_norm", "weight norm", "magnitude"),
)
"""In the order in which a step makes them."""

_BY_PARAMETER = ("gradient_norm", "update_norm", "weight_norm")


def series_of(run: Run, name: str) -> dict[str, Series]:
    """A compared quantity by layer, or by what else it is measured of, in the order of the model.

    Args:
        run: what was measured.
        name: of a `Quantity`. Norms are those of a layer: the root of the sum of the squares over its parameters.
    """
    if name == "update_ratio":
        updates, weights = series_of(run, "update_norm"), series_of(run, "weight_norm")
        return {layer: _ratio(updates[layer], weights[layer]) for layer in updates if layer in weights}
    sources = run.sources(name)
    if name not in _BY_PARAMETER:
        return {source: run.series(name, source) for source in sources}
    layers: dict[str, list[Series]] = {}
    for source in sources:
        layers.setdefault(source.rpartition(".")[0] or "model", []).append(run.series(name, source))
    return {layer: _norm(parts) for layer, parts in layers.items()}


def _norm(parts: list[Series]) -> Series:
    """Of a layer, at the steps where all of its parameters were measured."""
    return _at_common_steps(parts, lambda values: np.sqrt(sum(part**2 for part in values)))


def _ratio(updates: Series, weights: Series) -> Series:
    """Of what a step changes to what there was, where there was anything."""
    ratio = _at_common_steps([updates, weights], lambda values: values[0] / values[1])
    there = ~np.isin(ratio.steps, weights.steps[weights.values == 0])
    return Series(*(part[there] for part in (ratio.steps, ratio.values, ratio.low, ratio.high, ratio.counts)))


def _at_common_steps(parts: list[Series], combine: Callable[[list[np.ndarray]], np.ndarray]) -> Series:
    steps = parts[0].steps
    for part in parts[1:]:
        steps = np.intersect1d(steps, part.steps, assume_unique=True)
    chosen = [part[part.steps.searchsorted(steps)] for part in parts]
    with np.errstate(all="ignore"):
        values, low, high = (combine([getattr(part, name) for part in chosen]) for name in ("values", "low", "high"))
    return Series(steps, values, np.fmin(low, high), np.fmax(low, high), chosen[0].counts)
