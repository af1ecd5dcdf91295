"""Whether an objective is a multiple of one loss term, and with which sign."""

from __future__ import annotations

import torch

from nn_inspector.probes.origin import SHAPING, node_number, operation, path

_FACTORS = frozenset({"mul", "div", "neg", "mean", "sum"}) | SHAPING
_MOST = 8


def sign_of(objective: torch.Tensor, term: int | None, value: float, of_term: float) -> int:
    """The sign of the factor between a loss term and the objective made of it.

    Args:
        objective: what backward() is called on.
        term: number of the term's node, see `node_number`.
        value: of the objective.
        of_term: value of the term.

    Returns:
        -1 or +1; 0 where more than factors stand between them, or where one of them is zero or not a number.
    """
    for factors, node in enumerate(path(objective)):
        if node_number(node) == term:
            product = value * of_term
            return int(product > 0) - int(product < 0)
        if factors == _MOST or operation(node) not in _FACTORS:
            return 0
    return 0
