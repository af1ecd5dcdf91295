"""batch_dependency: does each output depend on its own item alone, and on nothing that comes later?"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader, IterableDataset, SequentialSampler, default_collate

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.model.by_place import ByPlace, by_place, comes_by_chance
from nn_inspector.checks.model.lost_axis import LostAxis, lost_axis
from nn_inspector.checks.model.mixing import Mixing, leaks, mixing
from nn_inspector.checks.model.other_company import OtherCompany, other_company
from nn_inspector.checks.race import BADLY, known_left
from nn_inspector.checks.symptoms import ALL_SYMPTOMS
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, Start, batch_size, initial_state, isolated, tensors_of
from nn_inspector.experiments.flow import Node
from nn_inspector.history import Finding, Remedy, Severity
from nn_inspector.training import split_batch

INFO = CheckInfo(
    name="batch_dependency",
    stage="model",
    kind="active",
    question="Does each output depend on its own item alone, and on nothing that comes later?",
    why=(
        "Items stand in a batch by chance. If the answer for one depends on its neighbours, the network learns from what "
        "it will not have later. It happens when an axis is mistaken: view() where a transpose was meant, a recurrent layer "
        "without batch_first, softmax over the batch. A network that predicts the next value must not see it either."
    ),
    how=(
        "On a copy in evaluation mode one item of a batch is exchanged for another one, and then all others are. No output "
        "may change both times. A batch that holds one and the same item at all places has to give one answer, and a batch with an item less one row less. Where the targets are the inputs one position later, the second half of the sequences is "
        "exchanged, and nothing may change before it. Batch normalization, graphs and comparisons between items are "
        "not mistaken for it. Means over the batch may be meant. It is an error if the network fails on the validation data as "
        "they come, and not in mixed batches of the size of training."
    ),
    remedy="Give recurrent and attention layers batch_first=True; swap axes with transpose() or permute(), never with view().",
    sources=(
        "Karpathy, A Recipe for Training Neural Networks (2019): use backprop to chart dependencies",
        "Lightning bolts: BatchGradientVerification",
    ),
    explains=(*ALL_SYMPTOMS, "normalization", "capacity", "hidden_activation", "layer_order", "label_alignment"),
)

_CHOOSING = {"softmax", "log_softmax", "softmin"}
_ALONG = {*_CHOOSING, "normalize"}
_CUTS = {"view", "reshape", "flatten", "unflatten"}
_PRODUCTS = {"matmul", "bmm", "baddbmm", "einsum"}
_WITHIN_ROWS = {"layer", "norm", "activation", "bounded", "pool"}


def look(subject: Subject) -> Finding:
    """Exchange items of a batch, and times of sequences, on a copy."""
    if subject.seconds <= 0:
        raise ExperimentError("This check makes an experiment, and there is no time left for one.")
    batch = subject.batches()[0]
    items = batch_size(batch)
    start = initial_state(subject.training, subject.run)
    with isolated(subject.training, start=start) as copied, contextlib.suppress(ExperimentError):
        leak = leaks(copied, batch)
        if leak is not None:
            return _leak(*leak)
    if items < 2:
        raise ExperimentError("A batch of one item has no neighbours.")
    doubled = BatchSource(subject.training.data, seconds=subject.seconds / 3).mixed(1, size=2 * items)[0]
    items = batch_size(doubled) // 2
    if items < 2:
        raise ExperimentError("There are too few items to exchange some.")
    lost = _lost(subject, batch, doubled, start)
    if lost is not None:
        return lost
    by_chance = comes_by_chance(subject.training, batch, doubled)
    # A last layer that begins with zeros answers everything alike at first; the present weights may be NaN.
    for weights in (start, Start()):
        with isolated(subject.training, start=weights) as copied:
            found = mixing(copied, doubled, items)
            if found is not None:
                return _mixed(subject, found, batch)
            place = by_place(copied, doubled, items) if by_chance else None
        if place is not None:
            return _by_place(subject, place)
    message = f"Yes: of {items} items in a batch, each changes its own output only."
    return finding(INFO, "ok", message, evidence={"items": float(items)})


def _lost(subject: Subject, batch: Any, doubled: Any, start: Start) -> Finding | None:
    """An axis of the batch that is gone, if the first axis surely counts items: that of twice as many is twice as long."""
    if batch_size(doubled) != 2 * batch_size(batch) or not _one_answer_each(subject, batch):
        return None
    for weights in (start, Start()):
        with isolated(subject.training, start=weights) as copied:
            found = lost_axis(copied, batch)
        if found is not None:
            return _without_axis(found)
    return None


@dataclass(frozen=True, slots=True)
class Mistake:
    """What mixes the items.

    Attributes:
        severity: how sure it is that this is not meant.
        what: in words.
        text, code: the remedy.
    """

    severity: Severity
    what: str
    text: str
    code: str


def mistake(found: Mixing, *, ordered: bool) -> Mistake:
    """Name what mixes the items.

    A recurrent layer along the batch, softmax over it and a reshape that tears items apart are mistakes. Products between items,
    means over them and batch normalization may be meant.

    Args:
        found: where they are mixed.
        ordered: whether the items of the loader come in a fixed order, so that they may be a sequence themselves.
    """
    node = found.node
    if node is None:
        return Mistake("info", "the model", *_BY_DESIGN)
    if node.kind == "recurrent":
        return _recurrent(node, found.items, ordered=ordered)
    if node.kind == "attention" or (node.kind == "gate" and node.call.name in _PRODUCTS):
        return _attention(node, found.items, ordered=ordered)
    if node.call.name in _ALONG:
        return _normalizing(node, found.items)
    torn = [one for one in found.flow.behind(node) if one.call.name in _CUTS and one.call.output is not None]
    if node.kind in _WITHIN_ROWS and node.call.name != "batch_norm" and torn:
        cut = torn[-1].call
        shapes = f"from {list(cut.inputs[0].shape)} to {list(cut.outputs[0].shape)}"
        return Mistake("error", f"{cut.name}() {shapes} puts numbers of several items into one row", *_TRANSPOSE)
    return Mistake("info", f"{node.call.name}()", *_BY_DESIGN)


def _recurrent(node: Node, items: int, *, ordered: bool) -> Mistake:
    given = list(node.call.inputs[0].shape)
    name = node.call.name.upper().partition("_")[0]
    if len(given) == 3 and given[0] == items != given[1]:
        what = f"the {name} takes the first axis of its input {given} for time, but that is the batch"
        return Mistake("error" if given[1] > 1 or not ordered else "info", what, *_BATCH_FIRST)
    if len(given) == 2 and ordered:
        return Mistake("info", f"the {name}", *_BY_DESIGN)
    return Mistake("error", f"the {name} gets an input {given} whose sequences hold several items", *_TRANSPOSE)


def _attention(node: Node, items: int, *, ordered: bool) -> Mistake:
    given = list(node.call.inputs[0].shape)
    if node.call.name == "multi_head_attention_forward" and len(given) == 3 and given[0] == items:
        what = f"the attention takes the first axis of its input {given} for time, but that is the batch"
        return Mistake("error", what, *_BATCH_FIRST)
    # Of single rows that may be meant (a set of items, learned neighbours); sequences have their own company.
    return Mistake("warning" if len(given) > 2 and not ordered else "info", "attention between the items", *_TRANSPOSE)


def _normalizing(node: Node, items: int) -> Mistake:
    name, given = node.call.name, node.call.inputs[0].shape
    axis = node.call.options.get("dim", node.call.options.get("1", node.call.options.get("2")))
    if axis is None and name in _CHOOSING:
        chosen = _axis_of_torch(len(given))
        what = f"{name} was not told its axis; of an input {list(given)} it takes axis {chosen}, which is the batch"
        return Mistake("error" if chosen == 0 and given[0] == items else "info", what, *_NAME_AXIS)
    along = isinstance(axis, int) and given[axis] == items and axis % len(given) == 0
    return Mistake("error" if along else "info", f"{name} works along the batch", *_CLASS_AXIS)


def _axis_of_torch(dims: int) -> int:
    """The axis that softmax and its like choose where none is named, see `torch.nn.functional._get_softmax_dim`."""
    return 0 if dims in (0, 1, 3) else 1


def _mixed(subject: Subject, found: Mixing, batch: Any) -> Finding:
    cause = mistake(found, ordered=_ordered(subject))
    evidence = {"items": float(found.items), "share_of_outputs": found.share}
    severity = cause.severity
    if severity != "info" and not _one_answer_each(subject, batch):
        severity = "info"
    apart = other_company(subject) if severity == "info" else None
    if apart is not None:
        return _in_other_company(found, cause, apart)
    if severity == "info":
        message = (
            f"The output for an item depends on other items of its batch, by {cause.what}. That may be meant: then the "
            "network needs the same company when it is used."
        )
        return finding(INFO, "info", message, evidence=evidence, where=_where(found.node))
    message = (
        f"No: the output for an item depends on the other items of its batch ({found.share:.0%} of the outputs do): "
        f"{cause.what}."
    )
    remedy = Remedy(cause.text, cause.code)
    where = _where(found.node)
    return finding(INFO, severity, message, evidence=evidence, remedy=remedy, where=where, basis="structure")


def _without_axis(found: LostAxis) -> Finding:
    place = f"{found.call}() makes {found.made} of {found.given}, whose first axis is the batch. " if found.call else ""
    message = (
        f"No: the axis of the batch is taken away. A batch of {found.items - 1} items gets {found.items} answers, as one of "
        f"{found.items} does: {place}Another axis stands in its place and is as long by chance, so that no error comes."
    )
    remedy = Remedy(
        "Take means, sums, maxima and the last one along the axis of time, which is the second one of [batch, time, features].",
        "h = h.mean(dim=1)  # h: [batch, time, features]; not h.mean(dim=0)\nlast = h[:, -1]  # not h[-1]",
    )
    evidence = {"items": float(found.items)}
    return finding(
        INFO, "error", message, evidence=evidence, remedy=remedy, where=found.module or "model", basis="structure"
    )


def _in_other_company(found: Mixing, cause: Mistake, apart: OtherCompany) -> Finding:
    batches = "single items" if apart.val_size == 1 else f"batches of {apart.val_size}"
    message = (
        f"No: the output for an item depends on other items of its batch, by {cause.what}, and these are others in validation. The "
        f"network has {apart.as_they_come:.0%} left to learn of the validation data in {batches}, as they come, and "
        f"{apart.as_in_training:.0%} of the same items in mixed batches of {apart.size}, as in training."
    )
    evidence = {
        "items": float(found.items),
        "left_as_they_come": apart.as_they_come,
        "left_as_in_training": apart.as_in_training,
    }
    remedy = Remedy(*_OF_TRAINING)
    return finding(
        INFO, "error", message, evidence=evidence, remedy=remedy, where=_where(found.node), basis="experiment"
    )


def _by_place(subject: Subject, found: ByPlace) -> Finding:
    """The same item gets another answer at each place: an error if the training did badly."""
    left = known_left(subject)
    what = f"a tensor {found.shape}" if found.tensor is None else f"a part {found.shape} of {found.tensor}"
    message = (
        f"No: an item's answer depends on where in the batch it stands. A batch that holds one item {found.items} times gets "
        f"{found.answers} different answers: {found.call}() brings in {what}, which is another one for each place in the batch."
    )
    remedy = Remedy(
        "Print the shapes where the two meet. A tensor of positions is cut to the length of the sequence, not to the size of the "
        "batch: time is the second axis of [batch, time, features].",
        "x = x + pe[: x.size(1)]  # pe: [longest, features], x: [batch, time, features]; not pe[: x.size(0)]",
    )
    evidence = {"items": float(found.items), "answers": float(found.answers)}
    severity: Severity = "error" if left is not None and left > BADLY else "warning"
    return finding(
        INFO, severity, message, evidence=evidence, remedy=remedy, where=found.module or "model", basis="structure"
    )


def _leak(middle: int, share: float) -> Finding:
    message = (
        f"No: the network is to predict the next value and can see it. When the input is changed from position {middle} on, "
        f"{share:.0%} of the outputs before it change."
    )
    remedy = Remedy(
        "Let each position see earlier ones only: a causal mask for attention, no bidirectional layers, padding on the left "
        "alone for convolutions.",
        "mask = torch.nn.Transformer.generate_square_subsequent_mask(x.shape[1])\nh = encoder(x, mask=mask, is_causal=True)",
    )
    evidence = {"changed_from": float(middle), "share_of_outputs": share}
    return finding(INFO, "error", message, evidence=evidence, remedy=remedy, where="model", basis="structure")


def _one_answer_each(subject: Subject, batch: Any) -> bool:
    """Whether the first axis of the batch surely counts items: torch's own collate made it, or each has one target."""
    loader = subject.training.train_loader
    if isinstance(loader, DataLoader) and loader.batch_sampler is not None and loader.collate_fn is default_collate:
        return True
    try:
        _, target = split_batch(batch)
    except ExperimentError:
        return False
    labels = list(tensors_of(target))
    return bool(labels) and labels[0].dim() >= 1 and labels[0].numel() == batch_size(batch) == labels[0].shape[0]


def _ordered(subject: Subject) -> bool:
    loader = subject.training.train_loader
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return True
    return isinstance(loader.sampler, SequentialSampler)


def _where(node: Node | None) -> str | None:
    return None if node is None else node.call.module or "model"


_BATCH_FIRST = (
    "Build the layer with batch_first=True, or swap the first two axes before it and take the last time with out[-1].",
    "lstm = torch.nn.LSTM(features, hidden, batch_first=True)\nout, _ = lstm(x)  # x: [batch, time, features]\nlast = out[:, -1]",
)
_TRANSPOSE = (
    "Swap axes with transpose() or permute(); view() and reshape() only cut the same row of numbers into other pieces.",
    "x = x.transpose(0, 1)  # [batch, time, features] -> [time, batch, features]",
)
_CLASS_AXIS = ("Let it work along the axis of the classes or features.", "probabilities = torch.softmax(logits, dim=1)")
_NAME_AXIS = (
    "Name the axis: without dim, torch takes the first one of an input with one or three axes, and the second one of others.",
    "weights = torch.softmax(scores, dim=1)  # over the positions of scores: [batch, positions, heads]",
)
_OF_TRAINING = (
    "Take means and spreads of the training data and keep them in the model; or take nn.BatchNorm, which keeps them itself.",
    "# self.register_buffer() keeps mean and std of the training data\nx = (x - self.mean) / self.std",
)
_BY_DESIGN = ("Nothing, if it is meant.", "pass")

CHECK = Check(INFO, look)
