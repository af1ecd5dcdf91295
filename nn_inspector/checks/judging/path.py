"""The way from the last layer to the loss, as the operations on it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Judge = Literal["scores", "log probabilities", "logits", "probabilities", "logarithm", "numbers", "other"]
"""What a loss takes its prediction for.

"scores" one for each class, not normalized (cross_entropy); "logits" of independent answers yes or no; "logarithm" probabilities
of which the loop takes the logarithm itself.
"""

JUDGES: Mapping[str, Judge] = {
    "cross_entropy": "scores",
    "nll_loss": "log probabilities",
    "binary_cross_entropy_with_logits": "logits",
    "binary_cross_entropy": "probabilities",
    "mse_loss": "numbers",
    "l1_loss": "numbers",
    "smooth_l1_loss": "numbers",
    "huber_loss": "numbers",
}
"""By the name of the loss function in torch.nn.functional; all others are "other"."""

REACH: Mapping[str, tuple[float, float]] = {
    "sigmoid": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, math.inf),
    "softplus": (0.0, math.inf),
    "exp": (0.0, math.inf),
    "log_softmax": (-math.inf, 0.0),
    "log_sigmoid": (-math.inf, 0.0),
}
"""The least and the greatest value that an operation can give."""

SQUASHING = frozenset({"softmax", "sigmoid", "hardsigmoid", "tanh"})
"""Operations that press all scores into a short range."""

_OUTER = frozenset({"mean", "sum", "neg", "add", "mul", "div", "pow", "sqrt", "abs", "norm", "square"})
_DISTANCES = frozenset({"pow", "abs", "norm", "square"})
_GUARDS = frozenset({"clamp", "add"})
_WITHIN_MODELS: Mapping[str, Judge] = {
    "nll": "log probabilities",
    "bce": "probabilities",
    "bce_with_logits": "logits",
    "mse": "numbers",
    "smooth_l1": "numbers",
    "huber": "numbers",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        name: as in `origin`: "softmax", "linear".
        axis: the one that it worked along, counted from 0 in its own result, where it has one.
    """

    name: str
    axis: int | None = None


def operations(origin: Iterable[str]) -> tuple[Operation, ...]:
    """Operations as `probes.origin` names them.

    Example:
        >>> operations(["softmax:1", "linear"])
        (Operation(name='softmax', axis=1), Operation(name='linear', axis=None))
    """
    return tuple(_operation(text) for text in origin)


def by_hand(objective: Sequence[Operation]) -> tuple[Judge, tuple[Operation, ...]]:
    """What a loss that is written by hand takes its prediction for, and the way to there, the last operation first.

    A logarithm of the prediction is a cross entropy, a difference whose size is taken compares numbers.

    Example:
        >>> by_hand(operations(["neg", "mean", "sum", "mul", "log", "add", "softmax:1", "linear"]))[0]
        'logarithm'
        >>> by_hand(operations(["mean", "pow", "sub", "linear"]))
        ('numbers', (Operation(name='linear', axis=None),))
    """
    before: list[str] = []
    for place, one in enumerate(objective):
        rest = tuple(objective[place + 1 :])
        if one.name == "log":
            return "logarithm", rest
        if one.name == "log_softmax":
            return "log probabilities", tuple(objective[place:])
        if one.name in _WITHIN_MODELS:
            return _WITHIN_MODELS[one.name], rest
        if one.name == "sub" and _DISTANCES & set(before):
            return "numbers", rest
        if one.name not in _OUTER:
            return "other", tuple(objective[place:])
        before.append(one.name)
    return "other", tuple(objective)


def unguarded(path: Sequence[Operation]) -> tuple[Operation, ...]:
    """The way without what only keeps a logarithm from 0: `clamp(p, 1e-7)`, `p + 1e-7`."""
    place = 0
    while place < len(path) and path[place].name in _GUARDS:
        place += 1
    return tuple(path[place:])


def without_logarithm(path: Sequence[Operation]) -> tuple[Operation, ...]:
    """The way from where probabilities are made: a logarithm of them, and what guards it, left out.

    Example:
        >>> without_logarithm(operations(["log", "add", "softmax:0", "linear"]))[0].name
        'softmax'
    """
    place = 0
    while place < len(path) and path[place].name in _GUARDS | {"log"}:
        place += 1
    return tuple(path[place:])


def _operation(text: str) -> Operation:
    name, _, axis = text.partition(":")
    return Operation(name, int(axis) if axis else None)
