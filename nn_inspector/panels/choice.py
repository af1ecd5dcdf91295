"""Which panels there are, and the buttons that choose among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import ipywidgets

from nn_inspector.panels import (
    activation_histogram,
    activation_spread,
    architecture,
    confusion,
    gradient_flow,
    gradient_norm,
    idle_units,
    learning_rate,
    loss,
    nonfinite_map,
    predictions,
    speed,
    update_ratio,
    weight_norm,
    worst_items,
)
from nn_inspector.panels.panel import Panel

PANELS: tuple[Panel, ...] = (
    loss.PANEL,
    gradient_flow.PANEL,
    activation_histogram.PANEL,
    update_ratio.PANEL,
    predictions.PANEL,
    confusion.PANEL,
    worst_items.PANEL,
    gradient_norm.PANEL,
    activation_spread.PANEL,
    idle_units.PANEL,
    weight_norm.PANEL,
    learning_rate.PANEL,
    architecture.PANEL,
    nonfinite_map.PANEL,
    speed.PANEL,
)
"""All panels, in the order in which they are shown."""

FIRST = ("loss", "gradient_flow", "activation_histogram", "update_ratio")
"""Names of those that are shown until the user chooses others."""


class PanelChoice(ipywidgets.HBox):
    """One button for each panel; those that are shown have a tick.

    Args:
        on_change: called when another choice was made.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._buttons = {panel.name: _button(panel) for panel in PANELS}
        for button in self._buttons.values():
            button.observe(self._on_click, "value")
        super().__init__(
            list(self._buttons.values()), layout={"flex_flow": "row wrap", "display": "flex", "margin": "4px 0"}
        )
        self.add_class("nni-panel-choice")

    @property
    def chosen(self) -> list[Panel]:
        """The panels to show, in their order."""
        return [panel for panel in PANELS if self._buttons[panel.name].value]

    def add(self, names: Iterable[str]) -> None:
        """Show these panels as well."""
        for name in names:
            self._buttons[name].value = True

    def _on_click(self, change: Any) -> None:
        change.owner.icon, change.owner.tooltip = _signs(change.new)
        self._on_change()


def _button(panel: Panel) -> ipywidgets.ToggleButton:
    shown = panel.name in FIRST
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
