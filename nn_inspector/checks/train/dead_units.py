"""dead_units: are there units that give zero for every item?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, row_chart
from nn_inspector.checks.race import race
from nn_inspector.checks.symptoms import NOT_LEARNING
from nn_inspector.checks.train.standstill import got_nowhere
from nn_inspector.checks.train.units_now import UnitLayer, units_now
from nn_inspector.experiments.rewiring import rewire
from nn_inspector.history import Evidence, Finding, Remedy

INFO = CheckInfo(
    name="dead_units",
    stage="train",
    kind="passive",
    question="Are there units that give zero for every item?",
    why=(
        "A ReLU whose input is below zero for all items passes nothing on and gets no gradient, so that it stays that way. A "
        "few such units do no harm. Where most of a layer is dead, the rest of the network is blind, and training stands still. "
        "A learning rate that is too high, or a bias far below zero, kills units."
    ),
    how=(
        "A copy with the weights of now answers for some batches. A unit is dead if it gives exactly zero for all items, in a "
        "convolution at all places. It is a warning if 70 % of a layer are dead and the training did badly, and an error if a "
        "copy with leaky ReLU, which cannot die, gets much further."
    ),
    remedy="Lower the learning rate, draw the weights with kaiming_normal_, start biases at zero, or use LeakyReLU.",
    sources=(
        "CS231n, Neural Networks Part 1: dying ReLU",
        "Lu and others, Dying ReLU and Initialization (2019)",
    ),
    explains=(*NOT_LEARNING, "vanishing_gradients", "update_ratio", "activation_scale", "symmetry"),
)

MOST = 0.7
"""In sound trainings fewer units than this share of a layer were dead for whole batches."""

SOME = 0.4
"""From here on it is worth knowing."""

FEWEST = 4
"""Layers of fewer units are not judged by a share."""


def look(subject: Subject) -> Finding:
    """Count the dead units of each layer."""
    layers = [layer for layer in units_now(subject) if layer.function not in ("sigmoid", "tanh", "hardtanh")]
    if not layers:
        return finding(INFO, "ok", "No: there are no rectifiers such as ReLU between layers.")
    evidence: Evidence = {f"{layer.where} ({layer.units})": layer.idle for layer in layers}
    counted = [layer for layer in layers if layer.units >= FEWEST or layer.idle == 1]
    worst = max(counted or layers, key=lambda layer: layer.idle)
    if worst.idle < SOME:
        message = f"No: at most {worst.idle:.0%} of the units of a layer are dead ({worst.where})."
        return finding(INFO, "ok", message, evidence=evidence)
    said = f"{worst.idle:.0%} of the {worst.units} units of {worst.where} give zero for every item"
    if worst.idle < MOST or not got_nowhere(subject):
        message = f"Some: {said}. The training does not seem to suffer from it."
        return finding(INFO, "info", message, evidence=evidence, where=worst.where)
    return _raised(subject, layers, worst, said, evidence)


def _raised(subject: Subject, layers: list[UnitLayer], worst: UnitLayer, said: str, evidence: Evidence) -> Finding:
    dead = [layer for layer in layers if layer.idle >= MOST]
    tried = race(subject, lambda copied: rewire(copied.model, {layer.spot: _leaky for layer in dead}))
    remedy = Remedy(
        "Lower the learning rate, start biases at zero, or use LeakyReLU.",
        "torch.nn.LeakyReLU(0.1)  # in place of torch.nn.ReLU()",
        tried.trial if tried is not None else None,
    )
    if tried is None or tried.severity == "info":
        message = f"Yes: {said}, so that hardly anything goes through. The cause may lie elsewhere."
        return finding(INFO, "warning", message, evidence=evidence, remedy=remedy, where=worst.where)
    message = f"Yes: {said}. The remedy is leaky ReLU. {tried.text}"
    return finding(
        INFO, tried.severity, message, evidence=evidence, remedy=remedy, where=worst.where, basis="experiment"
    )


def _leaky(function: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor:
    data: torch.Tensor = args[0] if args else kwargs["input"]
    return F.leaky_relu(data, 0.1)


CHECK = Check(INFO, look, row_chart("share of dead units"))
