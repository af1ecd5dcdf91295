"""Which panels there are, and the buttons that choose among them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import ipywidgets

from nn_inspector.errors import ArgumentError, describe
from nn_inspector.panels import (
    activation_histogram,
    activation_history,
    activation_spread,
    architecture,
    attention_entropy,
    batch_labels,
    clipping,
    confusion,
    fixed_batch,
    gradient_flow,
    gradient_histogram,
    gradient_norm,
    hidden_norm,
    idle_units,
    learning_rate,
    loss,
    memory,
    metrics,
    nonfinite_map,
    predicted_classes,
    predictions,
    regularization,
    speed,
    throughput,
    time_shares,
    unit_map,
    update_history,
    update_map,
    update_ratio,
    weight_histogram,
    weight_history,
    weight_norm,
    worst_items,
)
from nn_inspector.panels.panel import Panel
from nn_inspector.panels.style import TEXT

GROUPS: Mapping[str, tuple[Panel, ...]] = MappingProxyType(
    {
        "Learning": (loss.PANEL, metrics.PANEL, regularization.PANEL),
        "Gradients": (
            gradient_flow.PANEL,
            gradient_norm.PANEL,
            clipping.PANEL,
            gradient_histogram.PANEL,
            nonfinite_map.PANEL,
        ),
        "Signals": (
            activation_histogram.PANEL,
            activation_history.PANEL,
            activation_spread.PANEL,
            idle_units.PANEL,
            unit_map.PANEL,
            attention_entropy.PANEL,
            hidden_norm.PANEL,
        ),
        "Weights": (
            update_ratio.PANEL,
            update_history.PANEL,
            update_map.PANEL,
            weight_norm.PANEL,
            weight_history.PANEL,
            weight_histogram.PANEL,
            learning_rate.PANEL,
        ),
        "Answers": (
            fixed_batch.PANEL,
            predictions.PANEL,
            predicted_classes.PANEL,
            confusion.PANEL,
            worst_items.PANEL,
            batch_labels.PANEL,
        ),
        "Training": (architecture.PANEL, speed.PANEL, throughput.PANEL, time_shares.PANEL, memory.PANEL),
    }
)
"""All panels by what they are about, in the order in which they are shown."""

PANELS: tuple[Panel, ...] = tuple(panel for group in GROUPS.values() for panel in group)

FIRST = ("loss", "gradient_flow", "activation_histogram", "update_ratio")
"""Names of those that are shown until the user chooses others."""

_WAITS = "While this cell runs, what you choose here comes when the cell has ended."

_WRAPPED = {"flex_flow": "row wrap", "display": "flex", "align_items": "center"}


def named_panels(panels: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the panels to show first; None: `FIRST`.

    Raises:
        ArgumentError: there is no such panel, or none is named.

    Example:
        >>> named_panels(["loss", "memory"])
        ('loss', 'memory')
    """
    if panels is None:
        return FIRST
    if not isinstance(panels, list | tuple) or not all(isinstance(name, str) for name in panels):
        got = repr(panels) if isinstance(panels, str) else describe(panels)
        advice = 'For example panels=["loss", "gradient_flow"].'
        raise ArgumentError("panels", expected="a list of names of panels", got=got, advice=advice)
    names = [panel.name for panel in PANELS]
    unknown = next((name for name in panels if name not in names), None)
    if unknown is not None or not panels:
        near = difflib.get_close_matches((unknown or "").lower().replace(" ", "_"), names, 1)
        advice = f'Did you mean "{near[0]}"?' if near else f"There are {', '.join(names)}."
        got = "an empty list" if unknown is None else repr(unknown)
        raise ArgumentError("panels", expected="names of panels", got=got, advice=advice)
    return tuple(panels)


class PanelChoice(ipywidgets.VBox):
    """A button for each panel, those that are shown with a tick. They are folded up until they are wanted.

    Args:
        on_change: called when another choice was made.
        chosen: names of those that are shown first.

    Attributes:
        opener: folds them out and up again, by `STYLE`, so that it needs no kernel; it has its place elsewhere.
    """

    def __init__(self, on_change: Callable[[], None], chosen: Sequence[str] = FIRST) -> None:
        self._on_change = on_change
        self._buttons = {panel.name: _button(panel, panel.name in chosen) for panel in PANELS}
        self._waits = ipywidgets.HTML(
            f'<div role="status" style="line-height: 1.5; color: {TEXT}">▲ {_WAITS}</div>', layout={"display": "none"}
        )
        self.opener = ipywidgets.ToggleButton(tooltip="Choose which panels are shown", layout={"width": "auto"})
        self.opener.add_class("nni-panel-opener")
        for button in self._buttons.values():
            button.observe(self._on_click, "value")
        groups = [
            ipywidgets.HBox([_heading(name), *(self._buttons[panel.name] for panel in group)], layout=_WRAPPED)
            for name, group in GROUPS.items()
        ]
        super().__init__([self._waits, *groups], layout={"margin": "4px 0"})
        self.add_class("nni-panel-choice")
        self.opener.observe(self._fold, "value")
        self._fold()

    @property
    def chosen(self) -> list[Panel]:
        """The panels to show, in their order."""
        return [panel for panel in PANELS if self._buttons[panel.name].value]

    def add(self, names: Iterable[str]) -> None:
        """Show these panels as well."""
        for name in names:
            self._buttons[name].value = True

    def say_that_clicks_wait(self, wait: bool) -> None:
        """Say, or say no longer, that a click is heard of only after the cell that runs."""
        self._waits.layout.display = None if wait else "none"

    def _on_click(self, change: Any) -> None:
        change.owner.icon, change.owner.tooltip = _signs(change.new)
        self._fold()
        self._on_change()

    def _fold(self, _: Any = None) -> None:
        self.opener.icon = "caret-up" if self.opener.value else "caret-down"
        self.opener.description = f"Panels: {len(self.chosen)} of {len(PANELS)}"


def _heading(name: str) -> ipywidgets.HTML:
    return ipywidgets.HTML(f'<b style="color: {TEXT}">{name}</b>', layout={"width": "76px", "margin": "2px"})


def _button(panel: Panel, shown: bool) -> ipywidgets.ToggleButton:
    icon, tooltip = _signs(shown)
    return ipywidgets.ToggleButton(
        value=shown,
        description=panel.title,
        tooltip=tooltip,
        icon=icon,
        layout={"width": "auto", "margin": "2px"},
    )


def _signs(shown: bool) -> tuple[str, str]:
    """Whether a panel is shown, as an icon for the eye and as a tooltip, which is also read out."""
    return ("check", "Shown. Press to hide it.") if shown else ("", "Hidden. Press to show it.")
