"""How each layer stands at the step that is shown, from all that is measured of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from nn_inspector.checks.train import dead_units, saturation
from nn_inspector.history import Run
from nn_inspector.panels.layers import layer_of
from nn_inspector.panels.update_ratio import USUAL

Level = Literal["sound", "look closer", "wrong", "not measured"]

SIGNS: dict[Level, str] = {"sound": "✔", "look closer": "▲", "wrong": "✖", "not measured": "○"}
COLOURS: dict[Level, int] = {"sound": 2, "look closer": 4, "wrong": 1, "not measured": 0}

_WORST_FIRST: tuple[Level, ...] = ("wrong", "look closer", "sound", "not measured")
_SEVERITIES: dict[str, Level] = {"error": "wrong", "warning": "look closer"}


@dataclass(frozen=True, slots=True)
class Health:
    """How a layer stands.

    Attributes:
        level: in a word.
        reason: why, where it is not sound.
    """

    level: Level
    reason: str = ""


class LayerHealth:
    """How the layers of a run stand.

    Args:
        run: what was measured.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._parameters: dict[str, list[str]] = {}
        for parameter in run.sources("gradient_norm"):
            self._parameters.setdefault(layer_of(parameter), []).append(parameter)
        self._rate = _share_of_rate(run)

    def of(self, layer: str) -> Health:
        """The worst that is known of a layer."""
        found = [Health("sound")] if self._is_measured(layer) else []
        found += [*self._in_output(layer), *self._in_gradient(layer), *self._in_findings(layer)]
        return worst(found)

    def _is_measured(self, layer: str) -> bool:
        return layer in self._parameters or self._run.last("activation_spread", layer) is not None

    def _in_output(self, layer: str) -> Iterator[Health]:
        if self._run.last("activation_nonfinite", layer):
            yield Health("wrong", "NaN or Inf in its output")
        dead, saturated = (self._run.last(name, layer) or 0.0 for name in ("dead_units", "saturated_units"))
        for share, word, some, most in (
            (dead, "dead", dead_units.SOME, dead_units.MOST),
            (saturated, "saturated", saturation.SOME, saturation.HALF),
        ):
            if share >= some:
                yield Health("wrong" if share >= most else "look closer", f"{share:.0%} of its units are {word}")

    def _in_gradient(self, layer: str) -> Iterator[Health]:
        norms = [self._run.last("gradient_norm", parameter) or 0.0 for parameter in self._parameters.get(layer, ())]
        if any(not math.isfinite(norm) for norm in norms):
            yield Health("wrong", "NaN or Inf in its gradient")
        elif norms and not any(norms):
            yield Health("wrong", "its gradient is zero")
        update, weight = (self._norm(quantity, layer) for quantity in ("update_norm", "weight_norm"))
        ratio = update / weight if weight else 0.0
        if ratio and not USUAL[0] * self._rate <= ratio <= USUAL[1]:
            yield Health("look closer", f"update ratio {ratio:.1e}")

    def _norm(self, quantity: str, layer: str) -> float:
        return math.hypot(*(self._run.last(quantity, name) or 0.0 for name in self._parameters.get(layer, ())))

    def _in_findings(self, layer: str) -> Iterator[Health]:
        for finding in self._run.findings:
            if finding.raised and finding.where in (layer, *self._parameters.get(layer, ())):
                yield Health(_SEVERITIES.get(finding.severity, "sound"), finding.check)


def _share_of_rate(run: Run) -> float:
    """The learning rate as a share of the largest so far, of the group that is nearest to it; 1 where none is known.

    A schedule that ends low makes small updates on purpose.
    """
    rates = {source: run.series("learning_rate", source).high for source in run.sources("learning_rate")}
    shares = [
        (run.last("learning_rate", one) or 0.0) / float(seen.max()) for one, seen in rates.items() if seen.max() > 0
    ]
    return min(max(shares, default=1.0), 1.0)


def worst(found: list[Health]) -> Health:
    """The worst of these; not measured if there are none.

    Example:
        >>> worst([Health("sound"), Health("wrong", "its gradient is zero")]).level, worst([]).level
        ('wrong', 'not measured')
    """
    return min(found, key=lambda health: _WORST_FIRST.index(health.level), default=Health("not measured"))
