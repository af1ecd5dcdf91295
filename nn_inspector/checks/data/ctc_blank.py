"""A class that a CTC loss takes for its blank: what stands between two letters, and is no letter itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.experiments import Start, isolated
from nn_inspector.experiments.one_pass import one_pass
from nn_inspector.probes import LossCall

_BATCHES = 4


@dataclass(frozen=True, slots=True)
class BlankTargets:
    """Targets that are the blank.

    Attributes:
        blank: its number.
        share: of the targets, padding aside, that have it.
        lowest: the smallest of all targets.
    """

    blank: int
    share: float
    lowest: int


def blank_targets(subject: Subject) -> BlankTargets | None:
    """The targets of a CTC loss that are its blank; None if there are none.

    Raises:
        ExperimentError: no experiment is possible.
    """
    if subject.seconds <= 0 or not any(entry.call == "ctc_loss" for entry in list(subject.run.trace)):
        return None
    with isolated(subject.training, start=Start()) as copied:
        calls = [call for batch in subject.batches(_BATCHES) for call in one_pass(copied, batch).calls]
    found = [(int(call.options.get("blank", 0)), _letters(call)) for call in calls if call.name == "ctc_loss"]
    letters = torch.cat([one for _, one in found]) if found else torch.zeros(0)
    if not len(letters) or len({blank for blank, _ in found}) != 1:
        return None
    blank = found[0][0]
    share = float((letters == blank).double().mean())
    return BlankTargets(blank, share, int(letters.min())) if share else None


def _letters(call: LossCall) -> torch.Tensor:
    """The targets, without what rows are filled up with."""
    target = call.target.detach().cpu()
    lengths: Any = torch.as_tensor(call.options["target_lengths"]).cpu().flatten()
    if target.dim() == 1:
        return target[: int(lengths.sum())]
    places = torch.arange(target.shape[1])
    return target[places < lengths[:, None]]
