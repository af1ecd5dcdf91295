"""The layer that is selected in all panels of a dashboard, and the control that says which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets
import traitlets

from nn_inspector.history import Run
from nn_inspector.panels.layer_rows import MOST_ROWS
from nn_inspector.panels.layers import title

ALL = "all layers"
"""What the control shows while no layer is selected."""


class SelectedLayer(traitlets.HasTraits):
    """Which layer is selected; all views of a dashboard share one and observe it.

    Attributes:
        name: the layer, as the model names it, or a block of layers; None where none is selected.
    """

    name = traitlets.Unicode(None, allow_none=True)

    def toggle(self, layer: str) -> None:
        """Select a layer, or none if it is selected already: what a click on its row does.

        Example:
            >>> selected = SelectedLayer()
            >>> selected.toggle("encoder"), selected.name
            (None, 'encoder')
            >>> selected.toggle("encoder"), selected.name
            (None, None)
        """
        self.name = None if layer == self.name else layer


class LayerPicker(ipywidgets.HBox):
    """A list of the layers, for the keyboard and for those without a row, a search in it, and a way to select none.

    Args:
        run: whose layers, for the types of their modules.
        layers: what can be selected, in the order of the model.
        selected: what the list and the other views share.
    """

    def __init__(self, run: Run, layers: Sequence[str], selected: SelectedLayer) -> None:
        self._run = run
        self._selected = selected
        self._options: list[tuple[str, str]] = []
        self.find = ipywidgets.Combobox(
            description="Find layer",
            placeholder="part of a name",
            continuous_update=False,
            tooltip="Keep the layers in the list whose name or type has this in it",
            style={"description_width": "initial"},
            layout={"width": "224px"},
        )
        self.list = ipywidgets.Dropdown(
            description="Layer",
            options=[(ALL, "")],
            tooltip="Select a layer in all panels; a click on its row does the same",
            style={"description_width": "initial"},
            layout={"width": "auto", "max_width": "280px"},
        )
        self.clear = ipywidgets.Button(
            description="Clear", icon="times", tooltip="Select no layer: show all alike", layout={"width": "auto"}
        )
        self.clear.add_class("nni-no-layer")
        self.find.observe(self._on_find, "value")
        self.list.observe(self._on_list, "value")
        self.clear.on_click(lambda _: self._selected.set_trait("name", None))
        selected.observe(self._on_selected, "name")
        self.offer(layers)
        super().__init__([self.find, self.list, self.clear], layout={"margin": "0 0 0 16px", "flex_flow": "row wrap"})
        self.add_class("nni-layer-picker")

    def offer(self, layers: Sequence[str]) -> None:
        """Let these be selected; what is selected stays so."""
        self._options = [(title(self._run, layer, limit=40), layer) for layer in layers]
        self.find.options = tuple(dict.fromkeys(layers))
        self.find.layout.display = None if len(layers) > MOST_ROWS else "none"
        self._fill(self._found())

    def choose(self, place: int) -> None:
        """Select what stands at this place of the list, if anything does."""
        if 0 <= place < len(self.list.options):
            self.list.index = place

    def _on_find(self, _: Any) -> None:
        """Keep what has the text in it; a layer of that very name, or the only one that is left, is selected."""
        text, found = self.find.value.strip().lower(), self._found()
        named = [name for _, name in found if text and (len(found) == 1 or name.lower() == text)]
        if named:
            self._selected.name = named[0]
        self._fill(found)

    def _found(self) -> list[tuple[str, str]]:
        text = self.find.value.strip().lower()
        return [(words, name) for words, name in self._options if text in f"{name} {words}".lower()]

    def _fill(self, found: Sequence[tuple[str, str]]) -> None:
        some = f"{len(found)} of {len(self._options)} layers" if found else "no such layer"
        with self.hold_trait_notifications():
            self.list.unobserve(self._on_list, "value")  # new options select the first of them
            self.list.options = [(some if self.find.value.strip() else ALL, ""), *found]
            self.list.observe(self._on_list, "value")
        self._on_selected()

    def _on_list(self, _: Any) -> None:
        self._selected.name = self.list.value or None

    def _on_selected(self, _: Any = None) -> None:
        name = self._selected.name or ""
        if name not in [layer for _, layer in self.list.options]:  # a block, where layers are shown by block
            self.list.options = [*self.list.options, (title(self._run, name, limit=40), name)]
        self.list.value = name
        self.clear.disabled = not name
