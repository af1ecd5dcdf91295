"""Where the evidence of a finding can be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from nn_inspector.history import Finding, Run
from nn_inspector.panels.found_rows import found_rows
from nn_inspector.panels.layers import layer_of, title
from nn_inspector.panels.panel import Panel, Selection


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
        groups: the panels that there are; of each group the first that shows it is enough, one of layers of its kind before others, and what
            shows items comes too.
            A panel that has nothing to show of this run is named only if none has.
    """
    layer = _layer(finding.where, layers)
    selection = Selection(layer=layer)
    own = [[panel for panel in group if finding.check in panel.checks] for group in groups]
    own = [sorted(panels, key=lambda panel: not _is_of_its_kind(panel, run, finding)) for panels in own]
    drawn = [_enough(panels, lambda panel: not panel.picture(run, selection).empty) for panels in own]
    shown = drawn if any(drawn) else [_enough(panels, lambda _: True) for panels in own]
    return Whereabouts(run.raised_at(finding.check), layer, tuple(chain.from_iterable(shown)))


def _is_of_its_kind(panel: Panel, run: Run, finding: Finding) -> bool:
    return panel.of_one_kind and bool(found_rows(panel.picture(run, Selection()), [finding]))


def _enough(panels: Iterable[Panel], shows: Callable[[Panel], bool]) -> list[Panel]:
    """The first that shows it, and those of items that do; only as many are asked as need be, for it means to make a picture."""
    found: list[Panel] = []
    for panel in panels:
        if (not found or panel.of_items) and shows(panel):
            found.append(panel)
    return found


def _layer(where: str | None, layers: Sequence[str]) -> str | None:
    """The layer that a finding is about: `where` names it, or one of its parameters, or a source line or the like."""
    if where is None:
        return None
    return next(
        (name for name in (where, layer_of(where)) if name in layers and (name != "model" or where == name)), None
    )
