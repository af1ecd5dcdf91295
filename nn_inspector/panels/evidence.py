"""Where the evidence of a finding can be seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nn_inspector.history import Finding, Run
from nn_inspector.panels.layers import layer_of, title
from nn_inspector.panels.panel import Panel


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where to look.

    Attributes:
        step: in the run; None where it is not known.
        layer: of the model; None where the finding is about none.
        panels: which show it.
    """

    step: int | None
    layer: str | None
    panels: tuple[Panel, ...]

    def words(self, run: Run) -> str:
        """What a click will show.

        Example:
            >>> Whereabouts(1200, "head", ()).words(Run("demo", {}))
            'step 1,200, head'
        """
        parts = [f"step {self.step:,}"] if self.step is not None else []
        parts += [title(run, self.layer)] if self.layer is not None else []
        return ", ".join(parts + [panel.title for panel in self.panels])


def whereabouts(run: Run, finding: Finding, layers: Sequence[str], groups: Iterable[Sequence[Panel]]) -> Whereabouts:
    """Where the evidence of a finding can be seen.

    Args:
        run: where it was found.
        finding: of any check.
        layers: those of the model.
        groups: the panels that there are; of each group the first that shows it is enough, and what shows items comes too.
    """
    found = ([panel for panel in group if finding.check in panel.checks] for group in groups)
    shown = tuple(panel for panels in found for place, panel in enumerate(panels) if place == 0 or panel.of_items)
    return Whereabouts(run.raised_at(finding.check), _layer(finding.where, layers), shown)


def _layer(where: str | None, layers: Sequence[str]) -> str | None:
    """The layer that a finding is about: `where` names it, or one of its parameters, or a source line or the like."""
    if where is None:
        return None
    return next(
        (name for name in (where, layer_of(where)) if name in layers and (name != "model" or where == name)), None
    )
