"""initial_loss: is the first loss what chance gives?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, try_out
from nn_inspector.checks.init.chance import Chance, chance_level
from nn_inspector.checks.race import WELL, left_now
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Arm, BatchSource, TrainingCopy, initial_state, isolated
from nn_inspector.history import Chart, Finding, Remedy, Severity, Trial, curve, row_labels
from nn_inspector.probes import CallMode, LossCall, first_tensor
from nn_inspector.stats import is_dense
from nn_inspector.training import split_batch

INFO = CheckInfo(
    name="initial_loss",
    stage="init",
    kind="active",
    question="Is the first loss what chance gives?",
    why=(
        "A network that has learned nothing yet should be undecided. With C classes its loss is then about ln C: 2.30 "
        "for ten classes. A first loss far above that means that it starts out certain and wrong, and the first part "
        "of the training is spent on taking that back."
    ),
    how=(
        "A copy of the network sees a few batches with its first weights. Its loss is compared with what your own loss "
        "function gives for a constant prediction: the same for every class, and the frequency of each class. More "
        "than 25 % above is suspicious; where numbers are predicted, more than four times chance. It is a warning if "
        "the remedy, tried on a copy, brings a gain, or if the loss is three times chance (ten times for numbers). It is a "
        "remark if the training has learned its task since."
    ),
    remedy="Scale the inputs to mean 0 and standard deviation 1. If they are, make the last layer's weights smaller.",
    sources=(
        "Karpathy, A Recipe for Training Neural Networks (2019): verify loss at init",
        "Braiek and Khomh, TheDeepChecker (2022): initial loss against -ln(1/C)",
    ),
)

TOLERANCE: Mapping[str, float] = {"classes": 0.25, "numbers": 3.0}
"""Relative distance from chance that is still usual.

None of 15 healthy small classifiers was further away. A network that predicts numbers starts with outputs of the size of
its inputs, whatever the targets: with torch's initialization most small ones are more than 0.25 above chance.
"""

FAR: Mapping[str, float] = {"classes": 2.0, "numbers": 9.0}
"""Beyond this it is a warning even if a short trial of the remedy shows no gain."""

_BATCHES = 8
_TRIAL_STEPS = 50


def look(subject: Subject, *, batches: int = _BATCHES) -> Finding:
    """Compare the loss at the first weights with the loss of a constant prediction.

    Args:
        subject: training and run.
        batches: how many batches to look at.
    """
    training = subject.training
    start = initial_state(training, subject.run)
    data = BatchSource(training.data).mixed(batches)
    with isolated(training, start=start) as copied:
        loss, chance, input_spread = _measure(copied, data)
    evidence = {"first_loss": loss, "chance": chance.high, "input_spread": input_spread}
    if chance.low < chance.high:
        evidence["chance_from_frequencies"] = chance.low
    severity = rule(loss, chance)
    if severity == "ok":
        message = f"The first loss is {loss:.3g}. Chance gives {chance.text}."
        return finding(INFO, severity, message, evidence=evidence)
    if severity == "info":
        message = (
            f"The first loss is {loss:.3g}, lower than chance ({chance.text}): this network knows something already."
        )
        return finding(INFO, severity, message, evidence=evidence)
    if not math.isfinite(loss):
        message = f"The first loss is {loss}, where chance gives {chance.text}. Look for NaN or Inf in the data first."
        return finding(INFO, severity, message, evidence=evidence, remedy=_remedy(subject, chance, input_spread))
    beginning = "certain and wrong" if chance.kind == "classes" else "far from all targets"
    message = f"The first loss is {loss:.3g}, but chance gives {chance.text}: the network starts out {beginning}."
    if _overcome(subject):
        return finding(INFO, "info", f"{message} Your training has made up for that.", evidence=evidence)
    remedy = _remedy(subject, chance, input_spread)
    if remedy.tried is not None and not remedy.tried.helped and rule(loss, chance, FAR) != "warning":
        severity, message = "info", f"{message} It makes up for that soon."
    return finding(INFO, severity, message, evidence=evidence, remedy=remedy)


def _overcome(subject: Subject) -> bool:
    """Whether the training has learned its task since."""
    try:
        kind, left = left_now(subject)
    except ExperimentError:
        return False
    return left is not None and left <= WELL[kind]


def rule(loss: float, chance: Chance, tolerance: Mapping[str, float] = TOLERANCE) -> Severity:
    """Say how a first loss stands to chance.

    Example:
        >>> rule(7.0, Chance(2.3, 2.3, "2.3"))
        'warning'
    """
    slack = tolerance[chance.kind] * max(abs(chance.high), abs(chance.low))
    if not loss <= chance.high + slack:
        return "warning"
    return "info" if loss < chance.low - slack else "ok"


def chart(result: Finding) -> Chart | None:
    """The first loss beside chance."""
    if "first_loss" not in result.evidence:
        return None
    heights = [float(result.evidence[name]) for name in ("first_loss", "chance")]  # type: ignore[arg-type]
    return Chart("rows", "loss", "", {"loss": curve(heights, "points")}, row_labels(("first loss", "chance")))


def _measure(copied: TrainingCopy, data: Sequence[object]) -> tuple[float, Chance, float]:
    """The mean loss, the chance level on the same batches, and the spread of what the network gets."""
    losses: list[float] = []
    chances: list[Chance] = []
    calls: list[LossCall] = []
    spreads: list[float] = []

    def note_input(module: nn.Module, args: tuple[object, ...]) -> None:
        first = first_tensor(args)
        if first is not None and first.is_floating_point() and is_dense(first) and first.numel() > 1:
            spreads.append(float(first.detach().float().std()))

    copied.train_mode()
    copied.model.register_forward_pre_hook(note_input)
    for batch in data:
        calls.clear()
        with torch.no_grad(), CallMode(calls.append):
            value = copied.loss(batch)
        chances.append(_chance_of(calls, value))
        losses.append(float(value))
    low, high = (sum(getattr(chance, end) for chance in chances) / len(chances) for end in ("low", "high"))
    spread = sum(spreads) / len(spreads) if spreads else math.nan
    chance = replace(chances[0], low=low, high=high, text=chances[0].explain(low, high))
    return sum(losses) / len(losses), chance, spread


def _chance_of(calls: Sequence[LossCall], value: torch.Tensor) -> Chance:
    if len(calls) != 1 or not torch.allclose(calls[0].value.detach(), value.detach(), equal_nan=True):
        raise ExperimentError(
            "What chance gives is known for the loss functions of torch.nn, and this loss is "
            + ("made of several of them." if len(calls) > 1 else "another one, or one of them with something added.")
        )
    chance = chance_level(calls[0])
    if chance is None:
        raise ExperimentError(f"What chance gives is not known for {calls[0].name}.")
    return chance


def _remedy(subject: Subject, chance: Chance, input_spread: float) -> Remedy:
    if math.isfinite(input_spread) and not 0.2 < input_spread < 5:  # tokens have none
        return Remedy(
            text=f"Scale the inputs: their standard deviation is {input_spread:.3g}, and 1 is what layers are made for.",
            code="mean, std = x_train.mean(0), x_train.std(0) + 1e-6\nx_train = (x_train - mean) / std",
            tried=_try_scaled_inputs(subject),
        )
    return Remedy(
        text="Make the last layer's weights smaller, so that "
        + ("no class is preferred before the first step." if chance.kind == "classes" else "it begins near zero."),
        code=(
            "last = [m for m in model.modules() if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d))][-1]\n"
            "with torch.no_grad():\n"
            "    last.weight.mul_(0.01)\n"
            "    if last.bias is not None:\n"
            "        last.bias.zero_()"
        ),
        tried=_try_smaller_last_layer(subject),
    )


def _try_smaller_last_layer(subject: Subject) -> Trial | None:
    def shrink(copied: TrainingCopy) -> None:
        layers = [m for m in copied.model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
        with torch.no_grad():
            for layer in layers[-1:]:
                layer.weight.mul_(0.01)
                if layer.bias is not None:
                    layer.bias.zero_()

    def arms(source: BatchSource) -> tuple[Arm, Arm]:
        batches, judge = source.for_training(_TRIAL_STEPS)
        return Arm(batches, judge), Arm(batches, judge, change=shrink)

    return try_out(subject, arms, steps=_TRIAL_STEPS)


def _try_scaled_inputs(subject: Subject) -> Trial | None:
    def arms(source: BatchSource) -> tuple[Arm, Arm]:
        batches, judge = source.for_training(_TRIAL_STEPS)
        inputs = torch.cat([split_batch(batch)[0][0] for batch in batches]).float()
        mean, spread = inputs.mean(0), inputs.std(0) + 1e-6

        def scale(batch: Any) -> list[Any]:
            (first, *rest), target = split_batch(batch)
            return [(first - mean) / spread, *rest, target]

        return Arm(batches, judge), Arm([scale(batch) for batch in batches], scale(judge))

    return try_out(subject, arms, steps=_TRIAL_STEPS)


CHECK = Check(INFO, look, chart)
