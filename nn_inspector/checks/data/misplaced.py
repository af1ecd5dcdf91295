"""Labels that lie elsewhere than their inputs, where that is seen without learning them."""

from __future__ import annotations

import contextlib

from nn_inspector.checks.base import CheckInfo, Subject, finding
from nn_inspector.checks.data.bags import wrong_bags
from nn_inspector.checks.data.collated import collated_apart
from nn_inspector.checks.data.flattened import flattened_apart, said_of
from nn_inspector.checks.data.mirrored import mirrored
from nn_inspector.checks.data.own_input import own_input
from nn_inspector.checks.data.shifted_twice import shifted_twice
from nn_inspector.checks.data.turned import turned
from nn_inspector.checks.data.unmirrored import unmirrored
from nn_inspector.checks.loop.source import loop_of
from nn_inspector.checks.race import WELL, known_left
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, initial_state, isolated
from nn_inspector.history import Finding, Remedy

LEARNED_SO = 0.12
"""A network that has no more than this to learn of masks that lie otherwise has been told so on purpose."""

_TURNED = 128
_OFTEN = 0.2

_MANY = {"mask": "masks", "box": "boxes"}

_BOTH = {
    "mask": """\
if torch.rand(1) < 0.5:
    image, mask = image.flip(-1), mask.flip(-1)  # the same for both""",
    "box": """\
if torch.rand(1) < 0.5:
    image, (x1, y1, x2, y2) = image.flip(-1), box
    box = torch.stack([width - x2, y1, width - x1, y2])  # the same for both""",
}

_LISTED = 8

_WITH_IMAGE = {
    "flipped left to right": """\
if torch.rand(1) < 0.5:
    image, points = image.flip(-1), points.clone()
    points[..., 0] = -points[..., 0]  # x from -1 to 1; else 1 - x, or width - x in pixels""",
    "flipped upside down": """\
if torch.rand(1) < 0.5:
    image, points = image.flip(-2), points.clone()
    points[..., 1] = -points[..., 1]  # y from -1 to 1; else 1 - y, or height - y in pixels""",
}

_ASKED = """\
noisy = clean + noise * torch.randn_like(clean)
loss = loss_fn(model(noisy), clean)  # not (model(noisy), noisy)"""


def seen_misplaced(info: CheckInfo, subject: Subject) -> Finding | None:
    """Look for labels that are where they do not belong.

    Masks or boxes beside their images, words in the bags of others, predictions beside their targets, one's own input,
    images that an augmentation makes into those of another class, places that stay when their image is flipped, and tokens of
    further on than the next.

    Returns:
        None if nothing of that is seen.
    """
    looks = (
        _collated_apart,
        _turned_aside,
        _wrong_bags,
        _flattened_apart,
        _own_input_asked,
        _mirrored,
        _unmirrored,
        _shifted_twice,
    )
    return next((found for found in (look(info, subject) for look in looks) if found is not None), None)


def _collated_apart(info: CheckInfo, subject: Subject) -> Finding | None:
    """Labels that keep their order where the collate function gives the inputs another one."""
    found = collated_apart(subject)
    if found is None:
        return None
    return finding(
        info,
        "error",
        f"No: your collate function puts items and labels in different orders. Of {found.items} items that were put together, {found.moved} "
        f"came to another place in the batch, and {found.wrong} stand beside the label of another one.",
        evidence={"items": float(found.items), "moved": float(found.moved), "wrong": float(found.wrong)},
        remedy=Remedy(
            "Sort the pairs, and take inputs and labels from them after that.",
            "def collate(items):\n"
            "    items = sorted(items, key=lambda item: len(item[0]), reverse=True)  # x and y together\n"
            "    return pad_sequence([x for x, _ in items], batch_first=True), torch.tensor([y for _, y in items])",
        ),
        where="train_loader",
        basis="structure",
    )


def _turned_aside(info: CheckInfo, subject: Subject) -> Finding | None:
    """Images that an augmentation turns while their masks or boxes stay as they were."""
    if subject.seconds <= 0:
        return None
    source = BatchSource(subject.training.train_loader, seconds=min(5.0, subject.seconds / 4))
    found, left = turned(source.mixed(1, size=_TURNED)[0]), known_left(subject)
    if found is None or found.share < _OFTEN or (left is not None and left <= LEARNED_SO):
        return None
    return finding(
        info,
        "error" if left is not None else "warning",
        f"No: of {found.items} images that show how their {_MANY[found.what]} lie to them, {found.share:.0%} fit better when "
        f"the {found.what} is {found.how} or the like. One of the two is flipped or turned without the other.",
        evidence={"items": float(found.items), "turned_share": found.share},
        remedy=Remedy(f"Give image and {found.what} to the augmentation together, and turn both.", _BOTH[found.what]),
        where="train_loader",
        basis="structure",
    )


def _wrong_bags(info: CheckInfo, subject: Subject) -> Finding | None:
    """Words that are put into the bags of other items."""
    found = None
    with contextlib.suppress(ExperimentError):
        found = wrong_bags(subject)
    if found is None:
        return None
    first = ", ".join(str(one) for one in found.offsets)
    return finding(
        info,
        "error",
        f"No: the offsets of {found.module} go down as well as up ({first}, ...), with {found.words} words in the batch. They have to "
        "be where the words of each item begin; as they are, an item gets the words of others.",
        evidence={"offsets": [float(one) for one in found.offsets], "words": float(found.words)},
        remedy=Remedy(
            "Add up the lengths: each item begins where the one before it ends.",
            "offsets = torch.tensor([0, *lengths[:-1]]).cumsum(0)",
        ),
        where=found.module,
        basis="structure",
    )


def _own_input_asked(info: CheckInfo, subject: Subject) -> Finding | None:
    """A loss that asks for the network's own input, where something else in the batch is to be restored from it."""
    found = None
    with contextlib.suppress(ExperimentError):
        found = own_input(subject)
    if found is None:
        return None
    part = f"the tensor {list(found.shape)} at place {found.place} of the batch"
    apart = {
        "noisy": f"That is {part} and noise, and the noise is asked for as well.",
        "unused": f"And {part}, which is as large, is used for nothing.",
    }[found.how]
    sure = "No:" if found.how == "noisy" else "Perhaps not:"
    left, without = found.trial.treated[-1], found.trial.without[-1]
    return finding(
        info,
        "warning",
        f"{sure} the loss compares the network's answers with its own input. {apart} From that tensor the input is "
        f"{found.before:.2g} of its variance away, and so are the answers of a copy: {without:.2g}. A copy that was told to "
        f"answer it came as near as {left:.2g}.",
        evidence={"input_distance": found.before, "answer_distance": without, "distance_if_asked": left},
        remedy=Remedy(
            "Compare the answers with what they should be, not with what the network was given.", _ASKED, found.trial
        ),
        where=loop_of(subject).place("loss"),
        basis="experiment",
    )


def _mirrored(info: CheckInfo, subject: Subject) -> Finding | None:
    """Images of one class that an augmentation makes to look like another one's."""
    found = None
    with contextlib.suppress(ExperimentError):
        found = mirrored(subject)
    if found is None:
        return None
    one, other = found.classes
    return finding(
        info,
        "error",
        f"No: images of your training data are {found.how} at random, with their label left as it is, and then class {one} looks like "
        f"class {other}. A copy that learned from the validation data takes {found.taken:.0%} of them for the other class once "
        f"they are {found.how}. Your network takes {found.confused:.0%} for it as they are.",
        evidence={"taken_if_turned": found.taken, "confused": found.confused},
        remedy=Remedy(
            f"Leave this augmentation out: {found.how}, an image means something else. Or change the label with it.",
            "augment = torch.nn.Identity()  # instead of RandomHorizontalFlip and the like\n"
            "# or: if flipped: label = {left: right, right: left}.get(label, label)",
        ),
        where="train_loader",
        basis="experiment",
    )


def _unmirrored(info: CheckInfo, subject: Subject) -> Finding | None:
    """Places or angles that stay as they were when their image is flipped."""
    found = None
    with contextlib.suppress(ExperimentError):
        found = unmirrored(subject)
    if found is None:
        return None
    first = ", ".join(str(one) for one in found.columns[:_LISTED]) + (", ..." if len(found.columns) > _LISTED else "")
    which, far = (f"targets {first}", "they are") if len(found.columns) > 1 else (f"target {first}", "it is")
    return finding(
        info,
        "error",
        f"No: images of your training data are {found.how} at random, and their targets stay as they were. On which side of the "
        f"middle ({found.middle:g}) a target lies cannot be learned so: of {which} a copy explains {max(found.side, 0.0):.0%} after "
        f"{found.steps} steps, and of how far {far} from the middle {found.distance:.0%}.",
        evidence={"explained": found.side, "explained_of_distance": found.distance},
        remedy=Remedy(
            "Change the targets with the image: a place moves to the other side, and an angle or a direction changes its sign.",
            _WITH_IMAGE[found.how],
        ),
        where="train_loader",
        basis="experiment",
    )


def _shifted_twice(info: CheckInfo, subject: Subject) -> Finding | None:
    """A language model that is asked for a token further on than the next one, which the batch holds."""
    found = None
    with contextlib.suppress(ExperimentError):
        found = shifted_twice(subject)
    if found is None:
        return None
    return finding(
        info,
        "warning",
        f"No: the targets are shifted twice. The batch holds the next token for each position, but the loss compares what the network "
        f"says there with the token {found.ahead} positions on ({found.share:.0%} of the targets are that one). It does not learn to say "
        "what comes next.",
        evidence={"positions_ahead": float(found.ahead), "share": found.share},
        remedy=Remedy(
            "Shift once: either where the data are made, or where the loss is computed.",
            "logits = model(x)  # [batch, time, classes]; y holds the tokens of x one position later\n"
            "loss = loss_fn(logits.flatten(0, 1), y.flatten())  # not logits[:, :-1] and y[:, 1:]",
        ),
        where=loop_of(subject).place("loss"),
        basis="structure",
    )


def _flattened_apart(info: CheckInfo, subject: Subject) -> Finding | None:
    """Predictions and targets that lose each other where the loop flattens them."""
    if subject.seconds <= 0:
        return None
    found = None
    with (
        contextlib.suppress(ExperimentError),
        isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied,
    ):
        found = flattened_apart(copied, subject.batches()[0])
    left = known_left(subject) if found is not None else None
    if found is None or (left is not None and left <= WELL["classes"]):
        return None
    message, remedy = said_of(found)
    return finding(
        info, "error", message, evidence={"apart": found.apart}, remedy=remedy, where="loop", basis="experiment"
    )
