"""loss_reduction: is the loss the mean over the items, each with its own target?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from nn_inspector.checks.answers import of_output
from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.loop.broadcasts import Broadcast, broadcast_of
from nn_inspector.checks.loop.loss_scale import UNUSUAL, LossScale, loss_scale
from nn_inspector.checks.loop.one_for_all import one_for_all
from nn_inspector.checks.loop.padding import padding_in_loss
from nn_inspector.checks.loop.scale_race import race_to_mean
from nn_inspector.checks.loop.source import loop_of
from nn_inspector.checks.race import BADLY, Race, left_now, race
from nn_inspector.checks.symptoms import OF_THE_LOOP
from nn_inspector.checks.train.curve import LossCurve
from nn_inspector.errors import ExperimentError, InspectorError
from nn_inspector.experiments import Start, isolated
from nn_inspector.experiments.batch_contents import map_leaves
from nn_inspector.history import Finding, Remedy, Severity
from nn_inspector.probes import first_tensor, label_parts

INFO = CheckInfo(
    name="loss_reduction",
    stage="loop",
    kind="passive",
    question="Is the loss the mean over the items, each with its own target?",
    why=(
        "A learning rate is chosen for the mean loss of a batch. A sum makes each step as many times larger as there are "
        "items; a mean that is divided again makes it smaller. And if predictions have the shape [N, 1] and targets "
        "[N], torch compares each prediction with every target: the network then learns the mean, and no error says so."
    ),
    how=(
        "Shapes and values of the loss are read from the first steps. Where the loss is no mean, a copy trains with a mean: "
        "it is an error if that learns far more than your whole training did. Where all predictions meet all targets, it is "
        "an error if the training did badly. Where most targets are padding, a copy trains without it; where all outputs of an item have the same target and the "
        "batch says which one it is for, with that one alone."
    ),
    remedy="Take the mean once, give prediction and target the same shape, and leave padding out of the loss.",
    sources=(
        "PyTorch documentation: torch.nn.MSELoss: reduction, and its warning about sizes that differ",
        "Goyal and others, Accurate, Large Minibatch SGD (2017), section 3: normalization of the loss",
    ),
    explains=(*OF_THE_LOOP, "target_scale", "input_scale", "weight_scale", "sequence_lengths", "label_balance"),
)


def look(subject: Subject) -> Finding:
    """Read shapes, reduction and scale of the loss, and try what they should be."""
    if not any(entry.call == "backward" for entry in list(subject.run.trace)):
        raise InspectorError("No backward() was seen yet. Run your training loop for a moment, then look again.")
    broadcast = broadcast_of(subject.run)
    if broadcast is not None:
        return _broadcast(subject, broadcast)
    other = _padding(subject) or _one_for_all(subject)
    if other is not None:
        return other
    scale = loss_scale(subject.run)
    if scale is None:
        raise InspectorError("How the loss is put together from its items could not be seen in the first steps.")
    if 1 / UNUSUAL < scale.factor < UNUSUAL:
        return finding(INFO, "ok", "Yes: the loss is a mean.", evidence=_numbers(scale), basis="structure")
    return _scaled(subject, scale)


def _numbers(scale: LossScale) -> dict[str, float]:
    return {"factor": scale.factor, "items": float(scale.items)}


def _scaled(subject: Subject, scale: LossScale) -> Finding:
    if scale.factor > 1 and scale.how == "mean" and not math.isclose(scale.factor, scale.items, rel_tol=0.1):
        what = (
            f"Each step follows {scale.factor:,.3g} times the gradient of the mean loss: the loss is multiplied, or the "
            "gradients of as many batches are added up"
        )
        advice = (
            "Take the loss as the loss function returns it, and divide it by the number of batches that are added up."
        )
        code = "loss.backward()  # without the factor"
    elif scale.factor > 1:
        what = (
            f"The loss adds up its items where a mean is usual, so that each step is {scale.factor:,.0f} times as large"
        )
        advice = "Take the mean, or divide the learning rate by the number of items."
        code = 'loss_fn = torch.nn.CrossEntropyLoss(reduction="mean")  # or loss.mean()'
    else:
        what = (
            f"The loss is a mean that is divided by {1 / scale.factor:,.3g} again, so that each step is so much smaller"
        )
        advice = "Take the loss as the loss function returns it: it is a mean already."
        code = "loss.backward()  # without the division"
    if not _follows_scale(subject):
        message = f"{what}. Your optimizer makes steps of its own size, so this matters little."
        return finding(INFO, "info", message, evidence=_numbers(scale), basis="structure", where=place_of_loss(subject))
    tried = race_to_mean(subject, scale)
    severity, basis = _severity(subject, tried)
    lost = "" if tried is not None or severity == "info" else " The loss has not come down, and it may be why."
    message = f"{'No: ' + what[0].lower() + what[1:] if severity != 'info' else what}."
    message += f" {tried.text}" if tried is not None and severity != "info" else lost
    message += " Your learning rate fits it, or no harm was seen." if severity == "info" else ""
    remedy = Remedy(advice, code, tried.trial if tried is not None else None)
    return finding(
        INFO, severity, message, evidence=_numbers(scale), remedy=remedy, where=place_of_loss(subject), basis=basis
    )


def _severity(subject: Subject, tried: Race | None) -> tuple[Severity, Any]:
    if tried is not None:
        return tried.severity, "experiment"
    try:
        left_now(subject)
    except ExperimentError:
        curve = LossCurve.of(subject.run)
        failed = bool(curve.total) and not curve.end < curve.start
        return ("warning" if failed else "info"), "statistics"
    return "info", "experiment"


def _follows_scale(subject: Subject) -> bool:
    """Whether any optimizer makes steps of the gradient's own size: Adam and its like do not."""
    return any(isinstance(one, torch.optim.SGD | torch.optim.ASGD) for one in subject.training.optimizers)


def _broadcast(subject: Subject, seen: Broadcast) -> Finding:
    shapes = f"the shape {list(seen.prediction)} and {{}} {list(seen.target)}, so that each"
    if seen.weighs:
        what = f"the items' losses have {shapes.format('their mask or weights')} is multiplied with those of every item"
        lesson = "Which item was to count, and how much, is lost."
        code = "loss = (losses * weights.reshape(losses.shape)).mean()"
    elif seen.answered:
        what = f"the prediction has {shapes.format('what came of the answers')} prediction is compared with what came of every item's answer"
        lesson = "No item learns what came of its own."
        code = "advantage = returns.reshape(values.shape) - values"
    else:
        what = f"the prediction has {shapes.format('the target')} prediction is compared with every target of the batch"
        lesson = "What is left is to answer the mean of all targets."
        code = "loss = loss_fn(output, target.reshape(output.shape))"
    what += f" ({list(seen.result)})"
    # A race counts items that a mask leaves out, and does not know what comes of answers.
    tried = None if seen.weighs or seen.answered else race(subject, data=_reshaped(seen))
    left = _left(subject)
    evidence = {"items": float(seen.result[0])} | ({"left_to_learn": left} if left is not None else {})
    failed = left is None or left > BADLY
    severity: Severity = "error" if failed else "info"
    message = f"No: {what}. {lesson}"
    if not failed:
        message = f"{what[0].upper()}{what[1:]}. The network has learned all the same."
    elif tried is not None:
        message += f" {tried.text}"
    remedy = Remedy(
        "Give both the same shape.",
        code,
        tried.trial if tried is not None else None,
    )
    return finding(
        INFO, severity, message, evidence=evidence, remedy=remedy, where=place_of_loss(subject), basis="structure"
    )


def _reshaped(seen: Broadcast) -> Callable[[Any], Any]:
    def change(batch: Any) -> Any:
        parts = [part for _, part in label_parts(batch)]

        def reshape(leaf: Any) -> Any:
            if not isinstance(leaf, torch.Tensor) or not any(leaf is part for part in parts):
                return leaf
            one_each = leaf.dim() == len(seen.target) and leaf.numel() == len(leaf)
            return leaf.reshape(len(leaf), *seen.prediction[1:]) if one_each else leaf

        return map_leaves(batch, reshape)

    return change


def _left(subject: Subject) -> float | None:
    """The share of the task that is still to learn; None where it cannot be told."""
    try:
        return left_now(subject)[1]
    except ExperimentError:
        if subject.seconds <= 0:
            return None
    try:
        with isolated(subject.training, start=Start()) as copied, torch.no_grad():
            copied.model.eval()
            found = [of_output(first_tensor(copied.predict(batch)), batch) for batch in subject.batches()]
    except ExperimentError:
        return None
    shares = [one.unlearned for one in found if one is not None]
    known = [share for share in shares if share is not None]
    return sum(known) / len(known) if known else None


def _padding(subject: Subject) -> Finding | None:
    seen = padding_in_loss(subject)
    if seen is None:
        return None
    tried = race(subject, data=seen.left_out)
    if tried is None or tried.severity == "info":
        return None
    message = (
        f"No: {seen.share:.0%} of the targets that the loss counts are padding (all {seen.label}, where the input is "
        f"{seen.token}). They are learned in no time, and hide the rest. {tried.text}"
    )
    remedy = Remedy(
        "Leave padding out of the loss.",
        f"loss_fn = torch.nn.CrossEntropyLoss(ignore_index={seen.label})",
        tried.trial,
    )
    return finding(
        INFO,
        tried.severity,
        message,
        evidence={"padding": seen.share},
        remedy=remedy,
        where=place_of_loss(subject),
        basis="experiment",
    )


def _one_for_all(subject: Subject) -> Finding | None:
    seen = one_for_all(subject)
    if seen is None:
        return None
    message = (
        f"No: all {seen.outputs} outputs of an item are compared with the same number, though the batch says which of them it "
        f"belongs to. A copy that was asked for that one alone has {seen.treated:.0%} left to learn of it, and one that was asked "
        f"as in your loop {seen.without:.0%}."
    )
    return finding(
        INFO,
        "error",
        message,
        evidence={"left": seen.without, "left_of_chosen": seen.treated},
        remedy=Remedy("Compare the chosen output alone.", _CHOSEN, seen.trial),
        where=place_of_loss(subject),
        basis="experiment",
    )


_CHOSEN = "chosen = output.gather(1, choice.long().unsqueeze(1)).squeeze(1)\nloss = loss_fn(chosen, number)"


def place_of_loss(subject: Subject) -> str | None:
    """The line that the loss is computed in, or the one of its backward()."""
    reading = loop_of(subject)
    backward = reading.first("backward")
    if backward is None:
        return reading.place("loss")
    places = [term.place for term in backward.terms if term.place]
    return places[0] if places else backward.place


CHECK = Check(INFO, look, trial_chart)
