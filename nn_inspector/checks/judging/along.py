"""A softmax along another axis than the classes."""

from __future__ import annotations

import math

from nn_inspector.checks.base import Subject
from nn_inspector.checks.judging.complaint import Complaint
from nn_inspector.checks.judging.path import Operation, without_logarithm
from nn_inspector.checks.judging.place import place_of, text_of, where_of
from nn_inspector.checks.judging.reading import Judged
from nn_inspector.checks.judging.targets import Targets

_SOFTMAX = ("softmax", "log_softmax")

_PASSED = frozenset({"neg", "mean", "sum", "mul", "div", "add", "sub", "rsub", "pow"})
"""What a loss by hand does with probabilities: a cross entropy, a focal loss, an overlap."""

_NEAR = 1e-3

_COMPETING = (
    "The items compete with each other, and what the network says of one depends on which others are in the batch."
)
_SHARED = (
    "Not the classes compete with each other but the places of an item: each class is shared out among the places, and what "
    "the classes of one place add up to is left open."
)


def along_another_axis(subject: Subject, seen: Judged) -> Complaint | None:
    """A softmax over the items of a batch, or over the places of a dense prediction, instead of the classes."""
    operation = _softmax(seen)
    if operation is None or operation.axis is None or seen.targets is None:
        return None
    place = place_of(subject, seen, operation)
    shape = place.shape if place is not None else None
    if place is None and seen.sums is not None and operation.axis in seen.sums:
        shape = seen.prediction  # a logarithm behind it, in the model: it is still seen where the shares add up to 1
    if shape is None or len(shape) < 2 or operation.axis >= len(shape):
        return None
    classes = _classes(seen, seen.targets, shape, operation.axis)
    if classes is None or shape[classes] == shape[operation.axis]:  # of items with items: both axes are right
        return None
    along, so = f"axis {operation.axis}, which has {shape[operation.axis]} places", _SHARED
    if operation.axis == 0:
        along, so = "the items of the batch", _COMPETING
    return Complaint(
        "error",
        f"`{operation.name}` {text_of(place)} works along axis {operation.axis} of a result of shape {list(shape)}: over {along}, "
        f"not over the {shape[classes]} classes, which are axis {classes}. {so}",
        f"Let it work over the classes: dim={classes}. Or leave it out and use CrossEntropyLoss on the plain scores.",
        "loss = torch.nn.functional.cross_entropy(model(x), y)  # on the plain scores, with the classes as axis 1",
        where=where_of(place),
        evidence={"axis": operation.axis, "axis_of_classes": classes, "shape": [float(size) for size in shape]},
    )


def _softmax(seen: Judged) -> Operation | None:
    """The softmax that made the prediction, if one did."""
    path = without_logarithm(seen.path)
    if not seen.loss:
        while path and path[0].name in _PASSED:
            path = without_logarithm(path[1:])
    return path[0] if path and path[0].name in _SOFTMAX else None


def _classes(seen: Judged, targets: Targets, shape: tuple[int, ...], axis: int) -> int | None:
    """The axis of the classes in the result of the softmax, where the softmax works along another one for sure.

    Args:
        seen: how the prediction is judged.
        targets: what it is compared with.
        shape: of the result of the softmax.
        axis: along which that works.
    """
    if len(shape) == 2:
        few = targets.about_classes and shape[1] >= (targets.classes if targets.class_numbers else 2)
        right = seen.sums is not None and 1 in seen.sums and seen.loss != ""
        return 1 if axis == 0 and shape[0] == targets.shape[0] > 1 and few and not right else None
    if seen.loss and seen.judge in ("scores", "log probabilities"):
        return _of_loss(seen, shape, axis)
    wanted = _of_targets(targets, shape)
    if len(wanted) != 1 or axis in wanted:
        return None
    if seen.loss:
        apart = shape == seen.prediction and bool(seen.sums) and not wanted & set(seen.sums or ())
        return wanted.pop() if apart else None
    return wanted.pop()


def _of_loss(seen: Judged, shape: tuple[int, ...], axis: int) -> int | None:
    """For a loss of torch's that has the classes as axis 1 of its prediction."""
    if len(seen.prediction) < 2 or (seen.sums is not None and 1 in seen.sums):
        return None
    if shape == seen.prediction:
        return 1 if axis != 1 else None
    others = [place for place in range(1, len(shape)) if place != axis and shape[place] == seen.prediction[1]]
    whole = math.prod(shape) == math.prod(seen.prediction)  # nothing was cut off behind the softmax
    return others[-1] if others and whole else None


def _of_targets(targets: Targets, shape: tuple[int, ...]) -> set[int]:
    """The axes that may be those of the classes, as the targets have it: numbers of them at each place, or rows with a 1."""
    sized = [place for place in range(1, len(shape)) if shape[place] > 1]
    bare = _bare(targets.shape)
    values = targets.values
    if bare == _bare(shape):
        if values is None or tuple(values.shape[1:]) != shape[1:] or targets.low < 0:
            return set()
        numbers = values.double()
        return {place for place in sized if bool(((numbers.sum(place) - 1).abs() < _NEAR).all())}
    if not targets.whole or targets.low < 0:
        return set()
    fitting = {place for place in sized if _bare(shape[:place] + shape[place + 1 :]) == bare}
    return {place for place in fitting if targets.high < shape[place]}


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without axes of one element, but for that of the items."""
    return (*shape[:1], *(size for size in shape[1:] if size != 1))
