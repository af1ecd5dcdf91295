"""zero_input: does the network use its input at all?"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.fit.all_alike import all_alike, has_own_collate
from nn_inspector.checks.fit.made_up_input import made_up_input
from nn_inspector.checks.fit.masked_out import mask_turned_round
from nn_inspector.checks.fit.one_token import one_token
from nn_inspector.checks.fit.padded_end import padded_end
from nn_inspector.checks.fit.unused_part import unused_part
from nn_inspector.checks.init.first_weights import LayerWeights, first_weights, redraw
from nn_inspector.checks.race import BADLY, FAILED, known_left
from nn_inspector.checks.symptoms import ALL_SYMPTOMS
from nn_inspector.checks.train.course import course_of
from nn_inspector.errors import ExperimentError, InspectorError
from nn_inspector.experiments import Start, TrainingCopy, initial_state, isolated, take_apart
from nn_inspector.experiments.batch_contents import map_leaves
from nn_inspector.experiments.flow import LAYERS
from nn_inspector.experiments.one_pass import one_pass
from nn_inspector.history import Finding, Remedy, Severity
from nn_inspector.probes import first_tensor
from nn_inspector.stats import is_dense

INFO = CheckInfo(
    name="zero_input",
    stage="fit",
    kind="active",
    question="Does the network use its input at all?",
    why=(
        "If the input never reaches the output, the best that can be learned is the most frequent answer. It happens when a "
        "variable is overwritten, when another tensor is passed to the network than meant, or when all values are cut down "
        "to the same whole number. Nothing fails: the loss even falls a little."
    ),
    how=(
        "A copy answers for a batch, and again with the inputs handed on to the next item. If no answer changes, with the "
        "first weights, with those of now and with weights drawn anew, the input is not used: an error. So it is where all sequences end with padding, and with it cut off the input is used. So it is if a padding "
        "mask leaves out all but one and the same token, or if most of the texts is one token and little was learned; a warning, if a "
        "quarter is, and much of the vocabulary never occurs. So it is an error if all items have the same input and little was learned. Of several "
        "inputs each has to be used, if little was learned and a part of the network works on it without ever getting a gradient. The source of the loop is read as well, for an input that is made of "
        "random numbers while the batch is left aside."
    ),
    remedy="Follow the input through forward(): print(x.std(0)) behind each layer, until it is 0.",
    sources=("Karpathy, A Recipe for Training Neural Networks (2019): an input-independent baseline",),
    explains=(
        *(name for name in ALL_SYMPTOMS if name != "zero_input"), "label_alignment", "gradient_flow",
        "trainable_parameters", "learning_rate", "capacity", "hidden_activation", "initial_loss", "input_scale", "weight_scale",
        "contradictory_labels", "regularization_share", "optimizer_settings", "batch_size", "generalization_gap", "symmetry",
    ),
)  # fmt: skip

SAME = 1e-6
"""Answers that change by no more than this share of their size do not change."""

LITTLE = 0.2
"""A loop that feeds something else than its batch is at fault if so little of the way to the least possible loss is done."""

_BATCHES = 8

_FOLLOW = """\
def show(name):
    return lambda module, args, output: print(name, "differs between items by", output.std(0).mean().item())

for name, module in model.named_modules():
    if isinstance(module, torch.nn.Linear):
        module.register_forward_hook(show(name))
model(next(iter(train_loader))[0])"""


_KEEP_FRACTIONS = Remedy(
    "Follow one item from its file to the batch. Whole numbers lose all below 1: `image // 255` is 0, and so is what is scaled in "
    "an array of integers.",
    "x = image.astype(np.float32) / 255  # not image // 255\nprint(x.min(), x.max(), x.std())",
)
_FILL = Remedy(
    "Follow one item through your collate_fn. It has to write into the tensor that it returns: `row = frames` gives another thing "
    "the name of a row, and fills nothing.",
    "batch[place, : len(frames)] = frames  # not row = frames",
)


_LAST = Remedy(
    "Read the answer at the last place that is no padding, or cut the padding as long as the batch allows.",
    "last = outputs[torch.arange(len(outputs)), lengths - 1]  # not outputs[:, -1]",
)


def look(subject: Subject) -> Finding:
    """Swap the inputs of a copy, and read what the loop gives to the network."""
    return (
        _made_up(subject)
        or _left_out_by_mask(subject)
        or _one_token(subject)
        or _unused_part(subject)
        or _all_alike(subject)
        or _swapped(subject)
    )


def _made_up(subject: Subject) -> Finding | None:
    made_up = made_up_input(subject)
    if made_up is None or not _failed(subject):
        return None
    message = (
        f"No: the loop gives {made_up.name} to the network ({made_up.place}), which is made of random numbers. "
        "Nothing of the batch goes in."
    )
    remedy = Remedy("Give the inputs of the batch to the network.", f"output = model(x)  # not model({made_up.name})")
    return finding(INFO, "error", message, remedy=remedy, where=made_up.place, basis="structure")


def _left_out_by_mask(subject: Subject) -> Finding | None:
    if subject.seconds <= 0:
        return None
    turned = mask_turned_round(subject, subject.batches()[0])
    if turned is None:
        return None
    message = (
        f"No: attention is told to leave out {turned.left_out:.0%} of the positions, and all that it may look at hold the same "
        f"token, {turned.token}."
    )
    if turned.by_hand:
        action = "Turn the mask round: what has to be left out is the padding."
        code = "scores = scores.masked_fill(tokens[:, None, None] == padding, -torch.inf)  # not != padding"
    else:
        message += " In a padding mask True stands for what is left out."
        action = "Turn the mask round: it has to be True where there is padding."
        code = "mask = tokens == padding  # not tokens != padding\nencoder(x, src_key_padding_mask=mask)"
    remedy = Remedy(action, code)
    evidence = {"left_out": turned.left_out}
    return finding(INFO, "error", message, evidence=evidence, remedy=remedy, where=turned.module, basis="structure")


def _one_token(subject: Subject) -> Finding | None:
    if subject.seconds <= 0:
        return None
    found = one_token(subject.training.model, subject.batches()[:_BATCHES])
    if found is None or (known_left(subject) or 0.0) < FAILED:
        return None
    message = f"Hardly: {found.share:.0%} of the tokens are the same one, {found.token}, of {found.vocabulary} that there could be"
    if found.mostly:
        message += ". If it stands for words that are not known, next to nothing of the texts goes in."
    else:
        message += (
            f", and {found.unused:.0%} of those never occur. If it stands for words that are not known, they are looked up in another form "
            "than the vocabulary has them. If it is a mark of yours (a blank, a mask), all is well."
        )
    remedy = Remedy(
        "Print a few texts as the network gets them. Look words up the way the vocabulary was made: word by word, in the same case.",
        "print([words[number] for number in tokens[0]])  # words: what each number stands for",
    )
    severity: Severity = "error" if found.mostly else "warning"
    evidence = {"share": found.share, "unused": found.unused}
    return finding(INFO, severity, message, evidence=evidence, remedy=remedy, where="train_loader")


def _unused_part(subject: Subject) -> Finding | None:
    """An error if the training failed, a warning if it did badly: a part that runs for nothing need not be missed."""
    found = unused_part(subject)
    left = known_left(subject) if found is not None else None
    if found is None or left is None or left <= BADLY:
        return None
    message = (
        f"Only in part: {found.given} goes into {found.part}, and nothing of what that returns is used. No answer changes if the items of a "
        f"batch swap their {found.given}, and none of the {found.parameters} parameters of {found.part} ever got a gradient."
    )
    remedy = Remedy(
        f"Hand on what {found.part} returns. A decoder begins with the last state of the encoder, or attends to its outputs.",
        "outputs, state = self.encoder(source)\nlogits, _ = self.decoder(target, state)  # not self.decoder(target)",
    )
    evidence = {"parameters": float(found.parameters)}
    severity: Severity = "error" if left > FAILED else "warning"
    return finding(INFO, severity, message, evidence=evidence, remedy=remedy, where=found.part, basis="experiment")


def _all_alike(subject: Subject) -> Finding | None:
    """An error if the training failed: what is the same for all items tells nothing of any."""
    alike = all_alike(subject)
    if alike is None or not subject.run.steps or (known_left(subject) or 0.0) < FAILED:
        return None
    low, high = (float(number(torch.stack([number(one) for one in alike]))) for number in (torch.min, torch.max))
    which = f"the number {low:g} everywhere" if low == high else f"the same numbers, from {low:g} to {high:g}"
    message = f"No: all items that were looked at give the network {which}. What they held is lost before that."
    remedy = _FILL if has_own_collate(subject.training.train_loader) else _KEEP_FRACTIONS
    return finding(INFO, "error", message, remedy=remedy, where="train_loader", basis="structure")


def _swapped(subject: Subject) -> Finding:
    if subject.seconds <= 0:
        raise ExperimentError("This check makes an experiment, and there is no time left for one.")
    batch = subject.batches()[0]
    start = initial_state(subject.training, subject.run)
    if not _ignored(subject, start, batch, None):
        return finding(INFO, "ok", "Yes: other inputs lead to other answers.")
    if subject.run.steps == 0:
        message = "Perhaps not: no answer changes if the items swap their inputs, but nothing was trained yet."
        return finding(INFO, "info", message)
    if not _ignored(subject, Start(), batch, None):
        return finding(INFO, "ok", "Yes: with the weights of now, other inputs lead to other answers.")
    left = known_left(subject)
    if left is not None and left < FAILED:
        return finding(INFO, "ok", f"Yes: {1 - left:.0%} of what the inputs can tell was learned.")
    layers = first_weights(subject.anatomy("initial", training=False))
    if not _ignored(subject, start, batch, lambda copied: _draw_anew(copied.model, layers)):
        message = (
            "It could: with other weights the answers depend on the input. With yours they do not, from the beginning: all "
            "units of a layer are dead, or its weights are zero."
        )
        return finding(INFO, "info", message)
    if _fewer_answers(subject, batch):
        raise ExperimentError(
            "The network gives fewer answers than it is given rows: the rows may belong to one item, in any order."
        )
    return _padded(subject, start, batch, layers) or _lost_on_its_way()


def _lost_on_its_way() -> Finding:
    message = (
        "No: no answer changes if the items of a batch swap their inputs, whatever the weights are. The input is lost on its "
        "way, or all items look the same to the network."
    )
    remedy = Remedy("Follow the input through forward(), until the items do not differ any more.", _FOLLOW)
    return finding(INFO, "error", message, remedy=remedy, where="model.forward", basis="experiment")


def _padded(subject: Subject, start: Start, batch: Any, layers: Sequence[LayerWeights]) -> Finding | None:
    """An error if the answers depend on the input once the padding at the end of all sequences is cut off."""
    with contextlib.suppress(ExperimentError):
        with isolated(subject.training, start=Start()) as copied:
            seen = one_pass(copied, batch)
        end = padded_end(seen.inputs[-1]) if seen.inputs else None
        if end is None:
            return None

        def without_end(copied: TrainingCopy) -> None:
            _draw_anew(copied.model, layers)
            copied.model.register_forward_pre_hook(
                lambda _, args, kwargs: (_each(args, end.cut), _each(kwargs, end.cut)), with_kwargs=True
            )

        if _ignored(subject, start, batch, without_end):
            return None
        message = (
            f"No: no answer changes if the items of a batch swap their inputs. All sequences end with the same {end.padding} of "
            f"{end.length} places, which looks like padding; without these the answers depend on the input. They are read off "
            "the last place, where padding has washed it away."
        )
        evidence = {"length": float(end.length), "padding": float(end.padding)}
        return finding(
            INFO, "error", message, evidence=evidence, remedy=_LAST, where="model.forward", basis="experiment"
        )
    return None


def _fewer_answers(subject: Subject, batch: Any) -> bool:
    """Whether the first axis of what the network returns is shorter than that of what it is given."""
    with isolated(subject.training, start=Start()) as copied:
        seen = one_pass(copied, batch)
    if not seen.inputs or not seen.outputs:
        return False
    rows = max((len(one) for one in seen.inputs[-1] if one.dim()), default=0)
    output = first_tensor(seen.outputs[-1])
    return output is not None and (len(output) if output.dim() else 1) < rows


@torch.no_grad()
def _draw_anew(model: nn.Module, layers: Sequence[LayerWeights]) -> None:
    """Draw layers anew, and with them what passes nothing of the input on: weights that are all the same number."""
    redraw(model, layers)
    for weight in model.parameters():
        if weight.dim() >= 2 and weight.numel() and bool((weight == weight.flatten()[0]).all()):
            weight.normal_(0.0, 1 / math.sqrt(weight[0].numel()))


def _ignored(subject: Subject, start: Start, batch: Any, change: Callable[[TrainingCopy], None] | None) -> bool:
    """Whether the answers of a copy stay the same when the items swap their inputs."""
    with isolated(subject.training, start=start) as copied:
        if change is not None:
            change(copied)
        usual, _ = _answer(copied, batch, swapped=False)
        other, differ = _answer(copied, batch, swapped=True)
    if not differ:
        raise ExperimentError(
            "All items of a batch have the same input, or one that cannot be swapped: nothing can be said."
        )
    return len(usual) == len(other) and all(_same(one, two) for one, two in zip(usual, other, strict=True))


def _same(usual: torch.Tensor, other: torch.Tensor) -> bool:
    if usual.shape != other.shape or not bool(torch.isfinite(usual).all()):
        return False
    return bool(((usual - other).abs() <= SAME * usual.abs().amax().clamp(min=1e-12)).all())


def _answer(copied: TrainingCopy, batch: Any, *, swapped: bool) -> tuple[list[torch.Tensor], bool]:
    """What the last layer of a copy and the whole copy answer, and whether the swap changed anything of the input.

    The last layer, because a softmax over one unit makes all answers alike whatever comes in.
    """
    differ: list[bool] = []

    def rolled(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.dim():
            return tensor
        differ.append(not torch.equal(tensor, tensor.roll(1, 0)))
        return tensor.roll(1, 0)

    def swap(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return _each(args, rolled), _each(kwargs, rolled)

    if swapped:
        copied.model.register_forward_pre_hook(swap, with_kwargs=True)
    seen = take_apart(copied, batch, training=False, backward=False)
    weights = {id(parameter) for parameter in seen.model.parameters() if parameter.dim() >= 2}
    answers = [
        call
        for call in seen.calls
        if call.module is not None and (call.name in LAYERS or any(id(one) in weights for one in call.inputs))
    ]
    # Of all its calls: the last one may be on something else than the batch, such as a boundary condition. And what the
    # model returns: a last layer that is added to something else may begin with zeros.
    last = [call.output for call in answers if call.module == answers[-1].module]
    found = [one.detach().float() for one in (*last, first_tensor(seen.output)) if one is not None]
    if not found:
        raise ExperimentError("The network returned no tensor.")
    return found, any(differ) or not swapped


def _each(given: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Arguments of the model with each dense tensor among them changed."""
    return map_leaves(given, lambda leaf: change(leaf) if isinstance(leaf, torch.Tensor) and is_dense(leaf) else leaf)


def _failed(subject: Subject) -> bool:
    try:
        course = course_of(subject)
    except InspectorError:
        return False
    return course.end < LITTLE if course.levels is not None else not course.curve.falling


CHECK = Check(INFO, look)
