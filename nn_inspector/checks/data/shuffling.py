"""shuffling: do the items come in a new, mixed order in every epoch?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch.utils.data import DataLoader

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart, try_out
from nn_inspector.errors import InspectorError
from nn_inspector.experiments import Arm, BatchSource, without_regularization
from nn_inspector.history import Finding, Remedy, Trial
from nn_inspector.probes import Epoch

INFO = CheckInfo(
    name="shuffling",
    stage="data",
    kind="passive",
    question="Do the items come in a new, mixed order in every epoch?",
    why=(
        "Each step should follow a fair sample of the data. If items come sorted by label, the network learns one class "
        "after the other and forgets the last one each time. Curves look fine within a class, and the result is poor."
    ),
    how=(
        "Two passes over your loader are compared, and within a pass it is counted how often an item has the same label "
        "as the one before it. Random order gives a known number. More than 10 standard deviations above it means "
        "sorted or grouped; shuffled training on a copy then shows what that costs."
    ),
    remedy="Pass shuffle=True to the DataLoader. Do not shuffle time within a sequence, and validation needs no shuffling.",
    sources=(
        "Northcutt and others, cleanlab: test for data that are not independent and identically distributed",
        "Wald and Wolfowitz, On a test whether two samples are from the same population (1940)",
    ),
)

GROUPED = 10.0
"""Standard deviations above random order from which labels count as sorted or grouped."""

_FEW_ITEMS = 20
_TRIAL_STEPS = 120


def look(subject: Subject) -> Finding:
    """Compare what the loader handed out with what random order would give."""
    epochs = _epochs(subject)
    longest = max(epochs, key=lambda epoch: epoch.items)
    same_order = _same_order(epochs)
    evidence: dict[str, float | list[float]] = {"passes_seen": len(epochs)}
    if same_order is not None:
        evidence["same_order"] = float(same_order)
    z = grouping(longest) if longest.items >= _FEW_ITEMS and longest.batches > 1 else None
    if z is not None:
        evidence["deviations_from_random"] = z
        evidence["one_class_batches"] = longest.one_class_batches / longest.read
    if z is not None and z > GROUPED:
        return _grouped(subject, longest, evidence, same_order)
    if same_order and longest.batches > 1:
        message = "The items come in the same order in every epoch. Their labels are mixed, so this does little harm."
        return finding(INFO, "info", message, evidence=evidence, remedy=_remedy(subject, None), where="train_loader")
    if z is None and same_order is None:
        raise InspectorError(
            "Nothing can be said yet: one pass was seen and its batches hold no class labels. Train for a second epoch."
        )
    mixed = "" if z is None else " and neighbours share a label as often as chance gives"
    again = "the order is new in every epoch" if same_order is False else "one pass was seen"
    return finding(INFO, "ok", f"Yes: {again}{mixed}.", evidence=evidence, where="train_loader")


def grouping(epoch: Epoch) -> float:
    """How many standard deviations more often than in random order neighbours in a batch have the same label.

    Under random order each of the m pairs of neighbours shares a label with the chance p that two items do, so their
    number has mean m * p and about the variance m * p * (1 - p) of independent draws.

    Example:
        >>> import numpy as np
        >>> grouping(Epoch("train", 0, 0, items=200, class_counts=np.array([100, 100]), pairs=199, same_pairs=198)) > 10
        True
    """
    n, counts = epoch.items, epoch.class_counts.astype(np.float64)
    chance = float((counts * (counts - 1)).sum() / (n * (n - 1)))
    spread = math.sqrt(epoch.pairs * chance * (1 - chance))
    return (epoch.same_pairs - epoch.pairs * chance) / spread if spread > 0 else 0.0


def _epochs(subject: Subject) -> list[Epoch]:
    """Passes that were watched, or for a plain list of batches, the pass that it gives every time."""
    epochs = [epoch for epoch in subject.run.epochs("train") if epoch.batches]
    if epochs:
        return epochs
    loader = subject.training.train_loader
    if loader is None:
        raise InspectorError("There is no train_loader to look at. Pass train_loader=... to watch().")
    if isinstance(loader, DataLoader):
        raise InspectorError("No pass over the train_loader was seen yet. Run your training loop, then look again.")
    if not isinstance(loader, Sequence):
        raise InspectorError("Only a DataLoader or a list of batches can be looked at without using it up.")
    passes = []
    for number in range(2):
        epoch = Epoch("train", number, 0)
        for batch in loader:
            epoch.add(batch)
        epoch.complete = True
        passes.append(epoch)
    return passes


def _same_order(epochs: Sequence[Epoch]) -> bool | None:
    """Whether two complete passes held the same in the same order; None if there were not two."""
    complete = [epoch for epoch in epochs if epoch.complete and epoch.read]
    if len(complete) < 2 or complete[0].batches != complete[1].batches:
        return None
    return complete[0].order == complete[1].order


def _grouped(subject: Subject, epoch: Epoch, evidence: dict[str, float | list[float]], same: bool | None) -> Finding:
    trial = _try_shuffling(subject)
    share = epoch.one_class_batches / epoch.read
    message = f"No: the items come sorted or grouped by label. {share:.0%} of the batches hold one class only"
    message += ", and the order is the same in every epoch." if same else "."
    severe = trial is not None and trial.helped
    return finding(
        INFO,
        "error" if severe else "warning",
        message,
        evidence=evidence,
        remedy=_remedy(subject, trial),
        where="train_loader",
    )


def _remedy(subject: Subject, trial: Trial | None) -> Remedy:
    loader = subject.training.train_loader
    size = loader.batch_size if isinstance(loader, DataLoader) else None
    if size is None:
        code = "import random\n\nrandom.shuffle(train_loader)  # mixes the batches of the list; better: mix the items themselves"
    else:
        code = f"train_loader = torch.utils.data.DataLoader(train_loader.dataset, batch_size={size}, shuffle=True)"
    return Remedy("Shuffle the training data anew in every epoch.", code, trial)


def _try_shuffling(subject: Subject) -> Trial | None:
    def arms(source: BatchSource) -> tuple[Arm, Arm]:
        in_order = source.as_loaded(_TRIAL_STEPS)
        judge = source.mixed(1, size=256)[0]
        # Regularization is off in both, so that a second fault does not hide what this one does.
        sorted_arm = Arm(in_order, judge, change=without_regularization)
        return sorted_arm, Arm(source.mixed(len(in_order)), judge, change=without_regularization)

    return try_out(subject, arms, steps=_TRIAL_STEPS)


CHECK = Check(INFO, look, trial_chart)
