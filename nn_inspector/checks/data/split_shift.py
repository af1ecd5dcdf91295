"""split_shift: do training and validation hold the same kinds of data?"""

from __future__ import annotations

import numpy as np

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.data.class_labels import class_labels
from nn_inspector.checks.data.other_meaning import other_meaning
from nn_inspector.checks.data.other_scale import other_scale
from nn_inspector.checks.data.own_scaling import scaled_by_itself
from nn_inspector.checks.data.taught_apart import taught_apart
from nn_inspector.checks.loop.broadcasts import weighs_items
from nn_inspector.errors import InspectorError
from nn_inspector.experiments import BatchSource
from nn_inspector.history import Basis, Chart, Evidence, Finding, Remedy, Severity, curve, row_labels
from nn_inspector.probes import Epoch

INFO = CheckInfo(
    name="split_shift",
    stage="data",
    kind="active",
    question="Do training and validation hold the same kinds of data?",
    why=(
        "Data often lie in files class by class. Cut in two without shuffling, the second part holds the last classes and "
        "little else. The network does well in training and badly in validation, though it has learned what it could."
    ),
    how=(
        "The classes in your training batches are counted, and those in the first 64 batches of your val_loader. It is an "
        "error if most items of the validation are of classes that training does not hold. It is a warning if 70 % of the "
        "validation items would have to be of another class to be shared out as in training. If the network fails on the validation data, "
        "a simple model is taught by each and asked about the other: it is an error if both teach their own labels and not the other's. "
        "Copies of your network are taught likewise by a part of each, and asked about the rest of the validation data. Neither is done where "
        "your loop weighs its items, for labels that hardly count may be wrong. It is an error, too, "
        "if the inputs have another scale, and the network does well once that is made up for. It is a warning if one scale is ten times the other, or if the "
        "validation inputs were clearly scaled by numbers of their own and the network does worse on them."
    ),
    remedy="Shuffle before you split, or split each class by itself (stratified).",
    sources=(
        "Questions on Stack Overflow about validation_split of data that are sorted by class, as in the fault suite",
        "scikit-learn documentation: train_test_split, stratify",
    ),
    explains=("generalization_gap", "metric_match", "label_balance", "worst_examples"),
)

_CLASS_LOSSES = frozenset(
    {"cross_entropy", "nll_loss", "multi_margin_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"}
)

UNKNOWN = 0.5
"""Share of the validation items of classes that training does not hold, from which on validation says nothing."""

APART = 0.7
"""Total variation distance of both shares of classes from which on the halves are of different kinds."""

_FEWEST = 20
_BATCHES = 64
_MOST_ROWS = 30

_STRATIFIED = Remedy(
    "Shuffle before you split, or split each class by itself.",
    "train_data, val_data = torch.utils.data.random_split(dataset, [0.8, 0.2])\n"
    "# or split each class by itself:\n"
    "# sklearn.model_selection.train_test_split(x, y, test_size=0.2, stratify=y)",
)

_BY_TRAINING = (
    "mean, std = x_train.mean(0), x_train.std(0)\nx_train, x_val = (x_train - mean) / std, (x_val - mean) / std"
)
_ONE_SCALE = Remedy(
    "Prepare both in the same way, with mean and standard deviation of the training data.", _BY_TRAINING
)
_TWO_NUMBERS = Remedy(
    "Take mean and standard deviation from the training data alone, and use the same two for both, of inputs and targets.",
    _BY_TRAINING,
)

_SAME_CODES = Remedy(
    "Make vocabularies, category codes, scales and the order of columns from the training data, and use the same ones for "
    "validation.",
    "codes = {word: number for number, word in enumerate(sorted(set(train_words)))}  # once\n"
    "x_val = [codes.get(word, unknown) for word in val_words]  # the same codes",
)

_SAME_STEPS = Remedy(
    "Prepare the validation data just as the training data: the same steps in the same order, the same codes of inputs and labels.",
    "for loader in (train_loader, val_loader):  # the first items of both, side by side\n"
    "    x, y = next(iter(loader))\n"
    "    print(x[0], y[0])",
)


def look(subject: Subject) -> Finding:
    """Count the classes in both loaders, and see whether what one teaches holds in the other."""
    try:
        found = _classes(subject)
    except InspectorError:
        found = None
    if found is None or not found.raised:
        other = _other_scale(subject) or _scaled_by_itself(subject) or _other_lesson(subject)
        if other is not None:
            return other
    return found if found is not None else _classes(subject)


def _differs(severity: Severity, message: str, evidence: Evidence, remedy: Remedy, basis: Basis) -> Finding:
    """Say in which way the validation data differ from those of training."""
    return finding(INFO, severity, f"No: {message}", evidence=evidence, remedy=remedy, where="val_loader", basis=basis)


def _other_scale(subject: Subject) -> Finding | None:
    other = other_scale(subject)
    if other is None:
        return None
    message = (
        f"the inputs have mean {other.mean:.3g} and standard deviation {other.spread:.3g} in training, and {other.val_mean:.3g} and "
        f"{other.val_spread:.3g} in validation."
    )
    evidence: Evidence = {"training": [other.mean, other.spread], "validation": [other.val_mean, other.val_spread]}
    if other.left is None or other.rescaled is None:
        message += " It looks as if one of them was prepared in another way."
        return _differs("warning", message, evidence, _ONE_SCALE, "structure")
    message += (
        f" As they are, the network has {other.left:.0%} left to learn of the validation data; brought to the scale of training, "
        f"{other.rescaled:.0%}."
    )
    evidence = {**evidence, "left": other.left, "left_rescaled": other.rescaled}
    return _differs("error", message, evidence, _ONE_SCALE, "experiment")


def _scaled_by_itself(subject: Subject) -> Finding | None:
    found = scaled_by_itself(subject)
    if found is None:
        return None
    left, apart = found
    message = (
        "the inputs of the validation data have mean 0 and standard deviation 1 exactly, column by column. So they were scaled by "
        f"numbers of their own, and not by those of training. The network has {left:.0%} left to learn of the training data, and "
        f"{apart:.0%} of these."
    )
    return _differs("warning", message, {"left": left, "left_of_validation": apart}, _TWO_NUMBERS, "structure")


def _other_lesson(subject: Subject) -> Finding | None:
    """Not where the loop weighs its items: labels that hardly count may be wrong, and a model that counts all alike learns them."""
    return None if weighs_items(subject.run) else _other_meaning(subject) or _taught_apart(subject)


def _other_meaning(subject: Subject) -> Finding | None:
    other = other_meaning(subject)
    if other is None:
        return None
    message = (
        f"a simple model learns the labels from part of the training data (it explains {other.training:.0%} of the rest), and from "
        f"part of the validation data ({other.validation:.0%}), but what it learns from the one says next to nothing about the other "
        f"({other.across:.0%}). The inputs of the validation data mean something else."
    )
    evidence: Evidence = {
        "explained_in_training": other.training,
        "explained_in_validation": other.validation,
        "explained_across": other.across,
    }
    return _differs("error", message, evidence, _SAME_CODES, "experiment")


def _taught_apart(subject: Subject) -> Finding | None:
    taught = taught_apart(subject)
    if taught is None:
        return None
    message = (
        f"a copy of your network that learned from {taught.items} items of the validation data has {taught.by_validation:.0%} left to "
        f"learn of the others, one that learned from as many training items {taught.by_training:.0%}, and your network "
        f"{taught.network:.0%}. So these data can be learned, but inputs or labels mean something else in them."
    )
    evidence: Evidence = {
        "left_taught_by_validation": taught.by_validation,
        "left_taught_by_training": taught.by_training,
        "left": taught.network,
    }
    return _differs("error", message, evidence, _SAME_STEPS, "experiment")


def _classes(subject: Subject) -> Finding:
    training = class_labels(subject)
    assert training.classes is not None, "they are chosen so"
    validation = _validation_classes(subject, training.place)
    width = max(len(training.classes.total), len(validation))
    ours, theirs = (np.pad(counts, (0, width - len(counts))) for counts in (training.classes.total, validation))
    if theirs.sum() < _FEWEST:
        raise InspectorError(f"The validation data have {theirs.sum():.0f} items only, too few to compare.")
    shares = ours / ours.sum(), theirs / theirs.sum()
    distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
    unknown = float(shares[1][ours == 0].sum())
    present = np.flatnonzero(ours + theirs)
    evidence: Evidence = {
        "classes": [float(one) for one in present],
        "training": shares[0][present].tolist(),
        "validation": shares[1][present].tolist(),
        "distance": distance,
        "unknown": unknown,
    }
    if unknown > 1 - 1e-9 and _are_compared_only(subject):
        message = "Training and validation hold no class in common. The loss does not ask which class it is, so that this may be meant."
        return finding(INFO, "info", message, evidence=evidence, where="val_loader")
    if unknown >= UNKNOWN:
        message = f"{unknown:.0%} of the validation items are of classes that the training data do not hold."
        return _differs("error", message, evidence, _STRATIFIED, "structure")
    if distance >= APART:
        largest = int(np.argmax(shares[1]))
        message = (
            f"{shares[1][largest]:.0%} of the validation items are of class {largest}, and {shares[0][largest]:.0%} of "
            "the training items. Good or bad, the validation results say little about the rest."
        )
        return _differs("warning", message, evidence, _STRATIFIED, "structure")
    message = f"Yes: {distance:.0%} of the validation items would have to be of another class to be shared out as in training."
    return finding(INFO, "ok", message, evidence=evidence, where="val_loader")


def _are_compared_only(subject: Subject) -> bool:
    """Whether a loss ran, and none of torch's that asks for the class: labels then say who belongs together, in pairs or triplets."""
    ran = [entry.call for entry in list(subject.run.trace)]
    return "backward" in ran and not _CLASS_LOSSES & set(ran)


def _validation_classes(subject: Subject, place: str) -> np.ndarray:
    """Items of each class, float64 [classes], where the labels are at the same place in the batches."""
    if subject.training.val_loader is None:
        raise InspectorError("There is no val_loader to compare with. Pass val_loader=... to watch().")
    read = Epoch("validation", 0, 0)
    for batch in BatchSource(subject.training.val_loader, seconds=max(subject.seconds / 2, 0.1)).as_loaded(_BATCHES):
        read.add(batch)
    read.settle()
    part = read.parts.get(place)
    if part is None or part.classes is None:
        raise InspectorError("The labels of the validation data are none that can be compared with those of training.")
    return np.asarray(part.classes.total, dtype=np.float64)


def chart(result: Finding) -> Chart | None:
    """Share of each class in both."""
    classes, training, validation = (result.evidence.get(name) for name in ("classes", "training", "validation"))
    if not (isinstance(classes, list) and isinstance(training, list) and isinstance(validation, list)):
        return None
    if len(classes) > _MOST_ROWS:
        return None
    shares = {"training": curve(training, "points"), "validation": curve(validation, "points")}
    return Chart("rows", "share of the items", "", shares, row_labels([f"class {int(one)}" for one in classes]))


CHECK = Check(INFO, look, chart)
