"""shuffling: do the items come in a new, mixed order in every epoch?"""

from __future__ import annotations

from collections.abc import Sequence

from torch.utils.data import DataLoader

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.data.evenness import FEW_ITEMS, Evenness, evenness
from nn_inspector.checks.data.label_choice import likely_labels, seen_target
from nn_inspector.checks.data.never_seen import is_sequential, never_seen
from nn_inspector.checks.data.one_label import judge_one_label, one_label
from nn_inspector.checks.data.shuffling_remedy import by_design, remedy, speaks_against, try_shuffling
from nn_inspector.checks.race import BADLY, known_left
from nn_inspector.checks.symptoms import NOT_LEARNING, UNSTABLE
from nn_inspector.errors import InspectorError
from nn_inspector.experiments import preserved_state
from nn_inspector.history import Finding, Remedy, Severity
from nn_inspector.probes import Epoch, LabelOrder

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
        "Two passes over your loader are compared, and within a pass the batches are: do they differ in their classes "
        "(or in the mean of their targets) more than random order gives? The order within a batch does not matter. If a "
        "quarter of the labels' variation lies between batches, they are sorted or grouped; shuffled training on a copy "
        "then shows what that costs, and without a gain in it this is a remark only. It is an error if every pass ends after "
        "its first batch, and that is always the same; where passes are left after some batches that are always the same, it is a "
        "warning, and an error if the network does not do well on the rest."
    ),
    remedy="Pass shuffle=True to the DataLoader. Do not shuffle time within a sequence, and validation needs no shuffling.",
    sources=(
        "Northcutt and others, cleanlab: test for data that are not independent and identically distributed",
        "Kazi-Aoual and others, Refined approximations to permutation tests for multivariate inference (1995)",
    ),
    explains=(*NOT_LEARNING, *UNSTABLE, "batch_balance"),
)

GROUPED = 0.25
"""Share of the labels' variation between batches from which they count as sorted or grouped; random order gives 0."""

_GO_ON = """\
def endless(loader):
    while True:
        yield from loader

batches = endless(train_loader)  # once, before the first pass
for _ in range(steps_in_a_pass):
    x, y = next(batches)
    ..."""

UNREADABLE = "could not be read, so it is not known whether the order matters"


def look(subject: Subject) -> Finding:
    """Compare what the loader handed out with what random order would give."""
    epochs = passes_of(subject)
    stuck = _never_seen(subject, epochs)
    if stuck is not None:
        return stuck
    longest = max(epochs, key=lambda epoch: max((part.items for part in epoch.parts.values()), default=0))
    labels = likely_labels(longest.parts.values(), seen_target(subject.run.trace))
    same_order = _same_order(epochs, labels, is_sequential(subject.training.train_loader))
    evidence: dict[str, float | list[float]] = {"passes_seen": len(epochs)}
    if same_order is not None:
        evidence["same_order"] = float(same_order)
    if longest.batches == 1:
        return finding(INFO, "ok", "Yes: one batch holds all the data.", evidence=evidence, where="train_loader")
    alike = judge_one_label(INFO, subject, longest, labels, evidence)
    if alike is not None:
        return alike
    found = [(part, spread) for part in labels if (spread := evenness(part)) is not None]
    uneven = [(part, spread) for part, spread in found if spread.real and _unevenness(subject, spread) >= GROUPED]
    if found:
        part, spread = max(uneven or found, key=lambda pair: _unevenness(subject, pair[1]))
        evidence |= _evidence(spread)
        if uneven and len(uneven) < len(labels):
            return _undecided(part, labels, evidence)
        if uneven:
            return _grouped(subject, spread, evidence, same_order)
    return _mixed(subject, [spread for _, spread in found], epochs, labels, evidence, same_order)


def _never_seen(subject: Subject, epochs: Sequence[Epoch]) -> Finding | None:
    found = never_seen(subject.training.train_loader, epochs)
    if found is None:
        return None
    evidence = {"passes": float(found.passes), "taken": float(found.taken), "batches": float(found.batches)}
    if found.taken == 1:
        severity: Severity = "error"
        message = "each step begins a new pass over the train_loader and takes its first batch, which holds the same items every time."
        remedy = Remedy(
            "Go through the loader with a for loop, or keep one iterator and begin a new one when it ends. next(iter(loader)) begins "
            "anew each time.",
            "for x, y in train_loader:  # not x, y = next(iter(train_loader)) in each step\n    ...",
        )
    else:
        severity = "error" if (known_left(subject) or 0.0) > BADLY else "warning"  # judged on items of all the data
        message = f"each pass over the train_loader is left after {found.taken} batches, which hold the same items every time."
        advice = "shuffle=True draws them anew." if found.in_order else "Set the seed once, and not in each pass."
        remedy = Remedy(
            f"Let each pass go on where the last one ended: keep one iterator and begin a new one when it ends. {advice}",
            _GO_ON,
        )
    return finding(
        INFO,
        severity,
        f"No: {message} The other {found.batches - found.taken} of {found.batches} batches are never seen.",
        evidence=evidence,
        remedy=remedy,
        where="train_loader",
        basis="structure",
    )


def _unevenness(subject: Subject, spread: Evenness) -> float:
    """A sampler of the user's may put few classes into each batch, as for contrastive losses; not one class only."""
    return spread.purity if by_design(subject) else spread.uneven


def passes_of(subject: Subject) -> list[Epoch]:
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
    with preserved_state(loader):
        for number in range(2):
            epoch = Epoch("train", number, 0)
            for batch in loader:
                epoch.add(batch)
            epoch.complete = True
            epoch.settle()
            passes.append(epoch)
    return passes


def _same_order(epochs: Sequence[Epoch], labels: Sequence[LabelOrder], sequential: bool) -> bool | None:
    """Whether two complete passes held the same in the same order; None if that cannot be told.

    Items that are changed at random look new in every pass, even if the sampler goes through the data in order. Their
    labels decide then.
    """
    complete = [epoch for epoch in epochs if epoch.complete and epoch.read and epoch.order]
    if len(complete) < 2 or complete[0].batches != complete[1].batches:
        return None
    first, second = complete[:2]
    if first.order == second.order:
        return True
    if not sequential:
        return False
    places = [part.place for part in labels if part.place in first.parts and part.place in second.parts]
    told = [
        place for place in places if first.parts[place].items >= FEW_ITEMS and one_label(first.parts[place]) is None
    ]
    return all(first.parts[place].checksum == second.parts[place].checksum for place in told) if told else None


def _evidence(spread: Evenness) -> dict[str, float | list[float]]:
    known: dict[str, float | list[float]] = {
        "deviations_from_random": spread.deviations,
        "between_batches": spread.uneven,
        "batches_compared": spread.batches,
    }
    return known | ({"one_class_batches": spread.one_class} if spread.one_class is not None else {})


def _grouped(
    subject: Subject, spread: Evenness, evidence: dict[str, float | list[float]], same_order: bool | None
) -> Finding:
    trial = try_shuffling(subject)
    message = "No: the items come sorted or grouped by label. "
    if spread.one_class is not None and spread.one_class >= 0.5:
        message += f"{spread.one_class:.0%} of the batches hold one class only"
    else:
        blocks = "batches" if spread.batches == 1 else f"blocks of {spread.batches} batches"
        message += f"{spread.uneven:.0%} of the labels' variation lies between {blocks}, where random order gives none"
    message += ", and the order is the same in every epoch." if same_order else "."
    severity: Severity = "warning"
    if trial is not None and trial.helped and not (by_design(subject) and spread.lasting < GROUPED):
        severity = "error"
    elif speaks_against(trial):
        severity = "info"
        message += " Shuffled training on a copy did no better, so this does little harm."
    advice = remedy(subject, trial)
    return finding(INFO, severity, message, evidence=evidence, remedy=advice, where="train_loader")


def _undecided(part: LabelOrder, labels: Sequence[LabelOrder], evidence: dict[str, float | list[float]]) -> Finding:
    places = " and ".join(repr(one.place) for one in labels)
    message = (
        f"Which part of a batch holds the labels is not known: {places} both may. Part {part.place!r} comes sorted or "
        "grouped. If it is the labels, shuffle the data."
    )
    return finding(INFO, "info", message, evidence=evidence, where="train_loader")


def _mixed(
    subject: Subject,
    spreads: Sequence[Evenness],
    epochs: Sequence[Epoch],
    labels: Sequence[LabelOrder],
    evidence: dict[str, float | list[float]],
    same_order: bool | None,
) -> Finding:
    items = max((part.items for part in labels), default=0)
    few = f"Only {items} labels were read, too few to tell whether they are mixed." if labels else ""
    if same_order:
        message = "The items come in the same order in every epoch. "
        message += (
            "Their labels are mixed, so this does little harm." if spreads else few or f"Their labels {UNREADABLE}."
        )
        return finding(INFO, "info", message, evidence=evidence, remedy=remedy(subject, None), where="train_loader")
    if not spreads and same_order is None:
        reason = few or f"its labels {UNREADABLE}."
        raise InspectorError(f"Nothing can be said yet: {reason} Train for two whole epochs, then look again.")
    mixed = " and the batches differ in their labels no more than by chance" if spreads else ""
    if any(spread.real for spread in spreads):
        share = max(_unevenness(subject, spread) for spread in spreads)
        mixed = f" and only {share:.0%} of the labels' variation lies between batches"
    seen = "one pass was seen" if len(epochs) == 1 else "no two passes were whole"
    again = "the order is new in every epoch" if same_order is False else seen
    return finding(INFO, "ok", f"Yes: {again}{mixed}.", evidence=evidence, where="train_loader")


CHECK = Check(INFO, look, trial_chart)
