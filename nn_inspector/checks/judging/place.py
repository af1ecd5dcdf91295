"""Where in the model its last operation is, so that it can be named and left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nn_inspector.checks.base import Subject
from nn_inspector.checks.judging.path import Operation
from nn_inspector.checks.judging.reading import Judged
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Anatomy, Start, TrainingCopy, isolated, take_apart
from nn_inspector.experiments.flow import Node, flow_of
from nn_inspector.experiments.rewiring import Spot, rewire


@dataclass(frozen=True, slots=True)
class Place:
    """Where an operation is.

    Attributes:
        module: name of the module that makes it, "" for the model itself; None for one that the loop makes.
        kind: type of that module; "" where the loop makes it.
        spot: by which it can be changed, see `rewiring`; None where the loop makes it.
        shape: of its result, if that is known.
        axis: along which it works, if it has one.
    """

    module: str | None
    kind: str
    spot: Spot | None
    shape: tuple[int, ...] | None = None
    axis: int | None = None

    @property
    def size(self) -> int | None:
        """Of its result along its axis, if that is known."""
        known = self.shape is not None and self.axis is not None and self.axis < len(self.shape)
        return self.shape[self.axis] if known and self.shape is not None and self.axis is not None else None

    @property
    def text(self) -> str:
        """In words."""
        if self.module is None:
            return "in your loop"
        if not self.module:
            return f"at the end of {self.kind}.forward"
        return f"in the module `{self.module}` ({self.kind})"

    @property
    def leave_out(self) -> Callable[[TrainingCopy], None]:
        """Takes the operation out of a copy; nothing is to be done where the loop makes it."""

        def change(copied: TrainingCopy) -> None:
            if self.spot is not None:
                rewire(copied.model, {self.spot: lambda _function, args, _kwargs: args[0]})

        return change


def place_of(subject: Subject, seen: Judged, operation: Operation) -> Place | None:
    """Where the operation of a path is; None if it cannot be found.

    What the loop calls after the model is looked at first, and then what the model did at last.
    """
    for fact in reversed(seen.functions):
        if _bare(str(fact["name"])) == operation.name and "prediction" in "+".join(fact["of"]):
            shape = fact["result_shape"]
            return Place(None, "", None, tuple(shape) if shape is not None else None, operation.axis)
    try:
        alone = model_alone(subject)
    except ExperimentError:
        return _by_shape(seen, operation)
    node = _last(alone, operation)
    if node is None:
        return _by_shape(seen, operation)
    output = node.call.output
    shape = tuple(output.shape) if output is not None else None
    name = node.call.module or ""
    kind = type(alone.model.get_submodule(name)).__name__
    return Place(name, kind, (node.call.name, node.turn), shape, operation.axis)


def model_alone(subject: Subject) -> Anatomy:
    """One pass of the model as it is now, without the loss: made once for all checks of a diagnosis.

    Raises:
        ExperimentError: the model cannot be copied, or the batch does not fit it.
    """

    def make() -> Anatomy:
        with isolated(subject.training, start=Start()) as copied:
            return take_apart(copied, subject.batches()[0], alone=True)

    seen: Anatomy = subject.once(("model alone",), make)
    return seen


def _last(alone: Anatomy, operation: Operation) -> Node | None:
    """The last call of this name, if nothing but moves come behind it."""
    flow = flow_of(alone)
    found = [node for node in flow if _bare(node.call.name) == operation.name and node.call.module is not None]
    if not found or flow.after(found[-1], through=("move", "affine", "dropout")):
        return None
    return found[-1]


def _by_shape(seen: Judged, operation: Operation) -> Place | None:
    if operation.axis is None or operation != seen.path[0] or operation.axis >= len(seen.prediction):
        return None
    return Place("", "the model", None, seen.prediction, operation.axis)


def _bare(name: str) -> str:
    name = name.rstrip("_")
    return "log_sigmoid" if name == "logsigmoid" else name


def text_of(place: Place | None) -> str:
    """Where it is, in words."""
    return place.text if place is not None else "at the end of the network"


def where_of(place: Place | None) -> str | None:
    """The same for a finding: the module's name, or "loop"."""
    if place is None:
        return None
    return "loop" if place.module is None else place.module or "model"
