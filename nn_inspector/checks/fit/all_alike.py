"""Items that do not differ: what the network is given is the same for all of them."""

from __future__ import annotations

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Start, isolated
from nn_inspector.experiments.one_pass import one_pass

_BATCHES = 8
_FEWEST = 8


def all_alike(subject: Subject) -> list[torch.Tensor] | None:
    """What the network is given for every item of some batches.

    Returns:
        The tensors of one item; None if items differ, or it is not known.
    """
    if subject.seconds <= 0:
        return None
    try:
        with isolated(subject.training, start=Start()) as copied:
            passes = [one_pass(copied, batch).inputs for batch in subject.batches()[:_BATCHES]]
    except ExperimentError:
        return None
    given = [tuple(one[0]) for one in passes if len(one) == 1 and one[0]]
    if len(given) < len(passes) or any(
        len(one) != len(given[0]) or min(map(torch.Tensor.dim, one)) < 2 or any(map(torch.is_complex, one))
        for one in given
    ):
        return None
    first = [one[0].float() for one in given[0]]
    rows = sum(len(one[0]) for one in given)
    same = all(
        part.shape[1:] == row.shape and bool((part.float() == row).all())
        for one in given
        for part, row in zip(one, first, strict=True)
    )
    return first if same and rows >= _FEWEST else None
