"""Looks up items of the train loader's data set, so that they can be seen where none were kept."""

from __future__ import annotations

from collections.abc import Sequence

from nn_inspector.errors import InspectorError, describe_error
from nn_inspector.inspector import Inspector
from nn_inspector.panels.item_view import ItemView, LookedUp, view_of

LATER = "The items themselves are looked up in your data set when the training stands still."

_LOOKED_UP = (
    "The items were looked up in your data set just now; what it makes at random may look otherwise than in training."
)
_TOO_SLOW = "Your data set took too long to give all of them."
_MOST = 60


class DataItems:
    """The items of one inspector's training data. What was looked up stays in memory for a while, and only there.

    Args:
        inspector: whose data set.
    """

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector
        self._known: dict[int, ItemView] = {}

    def look_up(self, indices: Sequence[int]) -> LookedUp:
        """Items by their numbers. Never in the middle of a training; what goes wrong is said."""
        missing = [index for index in indices if index not in self._known]
        if missing and self._inspector.is_training:
            return LookedUp({}, LATER)
        if missing:
            try:
                found = self._inspector.look_up_items(missing, view_of)
            except InspectorError as error:
                return LookedUp({}, f"The items could not be looked up in your data set. {error}")
            except Exception as error:  # noqa: BLE001 - a data set may do anything when it is only looked at
                return LookedUp({}, f"The items could not be looked up in your data set. {describe_error(error)}")
            self._known.update(found)
            while len(self._known) > _MOST:
                del self._known[next(iter(self._known))]
        views = {index: self._known[index] for index in indices if index in self._known}
        return LookedUp(views, _LOOKED_UP if len(views) == len(set(indices)) else f"{_LOOKED_UP} {_TOO_SLOW}")
