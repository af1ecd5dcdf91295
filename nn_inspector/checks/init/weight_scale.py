"""weight_scale: do the first weights have a size that lets the signal through?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeGuard

import torch
from torch import nn

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, row_chart
from nn_inspector.checks.init.first_weights import LayerWeights, first_weights, redraw
from nn_inspector.checks.race import FAILED, known_left, race, unseen_race
from nn_inspector.checks.symptoms import ALL_SYMPTOMS
from nn_inspector.experiments import TrainingCopy
from nn_inspector.history import Evidence, Finding, Remedy

INFO = CheckInfo(
    name="weight_scale",
    stage="init",
    kind="active",
    question="Do the first weights have a size that lets the signal through?",
    why=(
        "Each layer adds up many inputs, so that its weights have to be small: about 1 / sqrt(inputs), times 1.4 before a "
        "ReLU. Weights drawn ten times as large make the signal ten times as large in every layer, and the first loss "
        "huge. Weights far too small let it die out. A bias far below zero shuts all ReLUs of a layer for ever."
    ),
    how=(
        "The standard deviation of each layer's first weights is compared with what He, Glorot and LeCun advise for its "
        "inputs and activation. If one is far off, or a bias is much larger than what the weights make of the data, a copy "
        "is trained with these layers drawn anew. It is raised only if that copy gets much further in a few steps than "
        "your whole training did, or if its answers for the validation data are far better. Where no copy could be trained, it is a warning if most layers are far off and your training "
        "learned little."
    ),
    remedy="Leave the first weights to torch, or draw them with torch.nn.init.kaiming_normal_ (ReLU) or xavier_normal_.",
    sources=(
        "He and others, Delving Deep into Rectifiers (2015)",
        "Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks (2010)",
        "LeCun and others, Efficient BackProp (1998)",
    ),
    explains=(
        *ALL_SYMPTOMS, "initial_loss", "output_bias", "learning_rate", "optimizer_settings", "normalization", "capacity",
        "hidden_activation", "gradient_flow", "batch_size", "regularization_share",
    ),
)  # fmt: skip

USUAL = (0.2, 3.0)
"""Times what is advised: torch's own first weights have 0.35 to 0.6, and 0.02 in a transformer of common size more than 0.2."""

USUAL_RECURRENT = 1.5
"""Recurrent weights work again and again: half as large again grow 400-fold in 15 steps. Small ones only forget."""

LARGE_BIAS = 3.0
"""A bias of so many standard deviations shuts or opens nearly all of a layer's activations."""

WIDE = 0.5
NARROWER = 0.1
"""Embeddings of such a standard deviation that nothing but products are made of are tried with a tenth of it."""

_LONG = 1000

FAR = 5.0
"""Most layers so many times outside of what is usual are suspected also where no better ones could be tried."""

_CODE = """\
for module in model.modules():
    if isinstance(module, (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d)):
        torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        torch.nn.init.zeros_(module.bias)  # if it has one; then make the optimizer"""


def look(subject: Subject) -> Finding:
    """Measure the first weights, and train a copy with better ones if they are unusual."""
    layers = first_weights(subject.anatomy("initial", training=False))
    if not layers:
        return _of_embeddings(subject) or finding(
            INFO, "ok", "There is no layer of which the size of the first weights matters."
        )
    evidence: Evidence = {layer.name: layer.ratio for layer in layers}
    found = [layer for layer in layers if unusual(layer) is not None]
    if not found:
        ratios = sorted(layer.ratio for layer in layers)
        message = f"Yes: the first weights are {ratios[0]:.2g} to {ratios[-1]:.2g} times as wide as what is advised."
        return finding(INFO, "ok", message, evidence=evidence)
    worst = max(found, key=_distance)
    more = f", and so it is with {len(found) - 1} more of {len(layers)} layers" if len(found) > 1 else ""
    said = f"{unusual(worst)}{more}"
    tried = race(subject, lambda copied: redraw(copied.model, found))
    remedy = Remedy(
        "Leave the first weights to torch, or draw them with kaiming_normal_ and set the biases to zero.",
        _CODE,
        tried.trial if tried is not None else None,
    )
    mostly = 2 * len(found) > len(layers)
    if tried is None and mostly and _distance(worst) > FAR and (known_left(subject) or 0.0) > FAILED:
        message = f"No: {said}. Your training has learned little. Whether this is why could not be tried."
        return finding(INFO, "warning", message, evidence=evidence, remedy=remedy, where=worst.name)
    unseen = None
    if mostly and (tried is None or tried.severity == "info"):
        unseen = unseen_race(subject, lambda copied: redraw(copied.model, found))
    if unseen is not None and unseen.now is not None:
        message = (
            f"No: {said}. Your training has learned its own data, but of the validation data it has {unseen.now:.0%} left to learn. A "
            f"copy with better first weights has {max(unseen.treated[-1], 0.0):.0%} left after {unseen.steps} steps, and one with yours "
            f"{unseen.without[-1]:.0%}."
        )
        shown = replace(remedy, tried=unseen.trial)
        return finding(INFO, "warning", message, evidence=evidence, remedy=shown, where=worst.name, basis="experiment")
    if tried is None or tried.severity == "info":
        message = f"{said}. That is unusual, but no harm was seen."
        return finding(INFO, "info", message, evidence=evidence, remedy=remedy, where=worst.name)
    message = f"No: {said}. {tried.text}"
    return finding(
        INFO, tried.severity, message, evidence=evidence, remedy=remedy, where=worst.name, basis="experiment"
    )


def _of_embeddings(subject: Subject) -> Finding | None:
    """Embeddings that are multiplied with each other: torch draws them with a standard deviation of 1."""
    tables = {
        name: module
        for name, module in subject.anatomy("initial", training=False).model.named_modules()
        if _is_wide(module)
    }
    tried = race(subject, lambda copied: _narrow(copied, tables), most=_LONG) if tables else None
    if tried is None or tried.severity == "info":
        return None
    name, table = next(iter(tables.items()))
    spread = float(table.weight.detach().std())
    products = spread**2 * table.embedding_dim**0.5
    return finding(
        INFO,
        tried.severity,
        f"No: the first {name}.weight has a standard deviation of {spread:.2g}. A product of two such rows of {table.embedding_dim} has "
        f"one of about {products:.2g}: the first answers are far from all targets. {tried.text}",
        evidence={f"{name}.weight": spread},
        remedy=Remedy(
            "Draw embeddings that are multiplied with each other with a standard deviation of 0.1 or less.",
            "for module in model.modules():\n    if isinstance(module, torch.nn.Embedding):\n"
            "        torch.nn.init.normal_(module.weight, std=0.05)  # then make the optimizer",
            tried.trial,
        ),
        where=f"{name}.weight",
        basis="experiment",
    )


def _is_wide(module: nn.Module) -> TypeGuard[nn.Embedding]:
    return (
        isinstance(module, nn.Embedding)
        and module.weight.requires_grad
        and module.embedding_dim > 1
        and float(module.weight.detach().std()) > WIDE
    )


@torch.no_grad()
def _narrow(copied: TrainingCopy, tables: Mapping[str, nn.Embedding]) -> None:
    for name in tables:
        copied.model.get_submodule(name).weight.mul_(NARROWER)  # type: ignore[operator]


def unusual(layer: LayerWeights) -> str | None:
    """What is unusual about the first weights of a layer, in a few words; None if nothing is."""
    if layer.offset > LARGE_BIAS and layer.bias is not None:
        return f"the first {layer.bias} is {layer.offset:.2g} times as large as what the weights make of the data"
    most = USUAL_RECURRENT if layer.recurrent else USUAL[1]
    least = 0.0 if layer.recurrent else USUAL[0]
    if least <= layer.ratio <= most:
        return None
    size = f"a standard deviation of {layer.spread:.2g}, where {layer.wanted:.2g} is advised"
    return f"the first {layer.name} is too {'large' if layer.ratio > most else 'small'} ({size})"


def _distance(layer: LayerWeights) -> float:
    return max(layer.offset / LARGE_BIAS, layer.ratio / USUAL[1], USUAL[0] / layer.ratio)


CHECK = Check(INFO, look, row_chart("times what is advised", "first weights"))
