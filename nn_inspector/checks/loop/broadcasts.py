"""Predictions, or losses of items, that meet the targets or weights of other items, because their shapes differ."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nn_inspector.history import Run

_NUMBERS = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "poisson_nll_loss")
_DIFFERENCES = ("sub", "rsub")
_PRODUCTS = ("mul", "div")


@dataclass(frozen=True, slots=True)
class Broadcast:
    """What all pairs of items go into.

    Attributes:
        prediction, target: the shapes; one has a column where the other has none.
        result: the shape of all the pairs.
        weighs: whether it is a product, of the items' losses with a mask or weights, and no comparison.
        answered: whether the target was made of what the network answered as well, as what came of its actions is.
    """

    prediction: tuple[int, ...]
    target: tuple[int, ...]
    result: tuple[int, ...]
    weighs: bool = False
    answered: bool = False


def broadcast_of(run: Run) -> Broadcast | None:
    """The first comparison or product in the run that torch has spread over all pairs of items."""
    return next(_broadcasts(run), None)


def weighs_items(run: Run) -> bool:
    """Whether the loop multiplies losses of items, made of predictions and targets, with one number of the batch for each."""
    return any(_weighs(dict(entry.facts)) for entry in list(run.trace) if entry.call == "function")


def _weighs(facts: dict[str, Any]) -> bool:
    of = [set(text.split("+")) for text in facts["of"]]
    if facts["name"] not in _PRODUCTS or {"target"} not in of or not any({"prediction", "target"} <= one for one in of):
        return False
    sizes = _sizes(facts["shapes"][of.index({"target"})])
    return len(sizes) > 0 and math.prod(sizes) == sizes[0]


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split("x") if size != "scalar")


def _broadcasts(run: Run) -> Iterator[Broadcast]:
    entries = list(run.trace)
    known = any("target" in str(entry.facts.get("of")) for entry in entries)
    for entry in entries:
        facts: dict[str, Any] = dict(entry.facts)
        answered = False
        if entry.call in _NUMBERS and facts.get("phase") != "validation":
            shapes = [tuple(facts["prediction_shape"]), tuple(facts["target_shape"])]
        elif entry.call == "function" and facts["name"] in (*_DIFFERENCES, *_PRODUCTS) and len(facts["of"]) == 2:
            of = [set(text.split("+")) for text in facts["of"]]
            unknown = not known and facts["name"] in _DIFFERENCES
            place = next((place for place in (0, 1) if _is_compared(of[1 - place], of[place], unknown)), None)
            if place is None:
                continue
            sizes = [_sizes(text) for text in facts["shapes"]]
            shapes = [sizes[1 - place], sizes[place]]
            answered = "prediction" in of[place]
        else:
            continue
        if _is_column_and_row(*shapes):
            weighs = entry.call == "function" and facts["name"] in _PRODUCTS
            yield Broadcast(shapes[0], shapes[1], (shapes[0][0], shapes[0][0], *shapes[0][2:]), weighs, answered)


def _is_compared(prediction: set[str], target: set[str], unknown: bool) -> bool:
    """Whether one comes from the network and the other from the data: of rewards, from what was answered as well.

    Args:
        prediction: what the one was made of.
        target: what the other was made of.
        unknown: whether the batches of the loop are not known as such, so that the data are what comes from nowhere.
    """
    return "prediction" in prediction and (
        target == {"target"} or ("target" in target and prediction == {"prediction"}) or (unknown and target == {""})
    )


def _is_column_and_row(prediction: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether one is [items, 1] and the other [items], of more than one item."""
    wide, narrow = sorted((prediction, target), key=len, reverse=True)
    return len(wide) == 2 and len(narrow) == 1 and wide[1] == 1 and wide[0] == narrow[0] == math.prod(wide) > 1
