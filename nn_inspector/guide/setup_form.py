"""The wizard's first page: which of the notebook's objects are meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets

from nn_inspector.errors import InspectorError
from nn_inspector.guide.find_objects import Candidates, Choice, choose, find_candidates, optimizers_of
from nn_inspector.guide.html import notice, paragraph
from nn_inspector.inspector import Inspector
from nn_inspector.watching import watch

NOTHING = "(none)"

_PARTS = {
    "model": "Model",
    "optimizer": "Optimizer",
    "loss_fn": "Loss",
    "train_loader": "Training loader",
    "val_loader": "Validation loader",
}


class SetupForm(ipywidgets.VBox):
    """Shows what was found and lets the user correct it.

    Args:
        namespace: the notebook's variables.
        on_ready: called with the inspector once it watches.
    """

    def __init__(self, namespace: Mapping[str, Any], on_ready: Callable[[Inspector], None]) -> None:
        self._namespace = namespace
        self._on_ready = on_ready
        self._choosers = {
            part: ipywidgets.Dropdown(
                description=label, style={"description_width": "130px"}, layout={"width": "420px"}
            )
            for part, label in _PARTS.items()
        }
        self._start = ipywidgets.Button(description="Start", button_style="primary", icon="play")
        self._again = ipywidgets.Button(description="Look again", icon="refresh", tooltip="Look for new variables")
        self._message = ipywidgets.HTML()
        self._start.on_click(lambda _: self._watch())
        self._again.on_click(lambda _: self.look())
        self._choosers["model"].observe(lambda _: self._match_optimizer(), "value")
        super().__init__(
            [
                ipywidgets.HTML(
                    paragraph("These objects were found in your notebook. Correct them if they are not the ones.")
                ),
                *self._choosers.values(),
                ipywidgets.HBox([self._start, self._again]),
                self._message,
            ]
        )
        self.look()

    def look(self) -> None:
        """Look through the notebook's variables."""
        found = find_candidates(self._namespace)
        options = {
            "model": found.models,
            "optimizer": found.optimizers,
            "loss_fn": found.losses,
            "train_loader": found.train_loaders + found.val_loaders,
            "val_loader": found.val_loaders + found.train_loaders,
        }
        for part, names in options.items():
            self._choosers[part].options = list(names) if part == "model" else [*names, NOTHING]
        self._start.disabled = not found.models
        self._message.value = self._propose(found)

    def _propose(self, found: Candidates) -> str:
        if not found.models:
            return notice("No network was found. Run the cells that build it, then press “Look again”.")
        proposed, message = None, ""
        try:
            proposed = choose(self._namespace)
        except InspectorError:
            proposed = choose(self._namespace, model=found.models[-1])
            message = notice(f"There are {len(found.models)} models. Choose the one that does not learn.")
        for part in _PARTS:
            self._choosers[part].value = getattr(proposed, part) or NOTHING
        return message

    def _match_optimizer(self) -> None:
        model = self._choosers["model"].value
        if model is not None:
            own = optimizers_of(model, self._namespace, find_candidates(self._namespace))
            self._choosers["optimizer"].value = own[-1] if own else NOTHING

    def _watch(self) -> None:
        chosen = {part: chooser.value for part, chooser in self._choosers.items() if chooser.value != NOTHING}
        try:
            self._on_ready(watch(**Choice(**chosen).objects(self._namespace), show=False))
        except InspectorError as error:
            self._message.value = notice(str(error))
