"""symmetry: are there units that can never become different from each other?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.symptoms import ALL_SYMPTOMS
from nn_inspector.experiments import Anatomy
from nn_inspector.experiments.flow import flow_of
from nn_inspector.history import Finding, Remedy

INFO = CheckInfo(
    name="symmetry",
    stage="init",
    kind="active",
    question="Are there units that can never become different from each other?",
    why=(
        "Units of a layer that begin with the same weights and get the same gradients stay the same for ever: a hundred "
        "of them are worth one. And a layer of zeros behind which a ReLU stands passes nothing, forward or back, so that "
        "it is never trained at all. Random first weights are there to prevent both."
    ),
    how=(
        "A copy with its first weights makes one pass. It is an error if all units of a layer have the same weights and "
        "the same gradient, or the same weights and no gradient in the whole run, and are still alike now. Last layers, "
        "gates and branches that begin with zeros get gradients that differ, and pass."
    ),
    remedy="Draw the first weights at random, as every layer of torch does by itself: call layer.reset_parameters().",
    sources=(
        "CS231n, Neural Networks Part 2: pitfall, all zero initialization",
        "Goodfellow, Bengio and Courville, Deep Learning (2016), 8.4: break symmetry",
    ),
    explains=(
        *ALL_SYMPTOMS, "initial_loss", "output_bias", "weight_scale", "capacity", "hidden_activation", "gradient_flow",
        "optimizer_step", "learning_rate",
    ),
)  # fmt: skip

ALIKE = 1e-4
"""Rows that differ by less than this share of their size are the same, but for rounding."""

STILL = 10
"""A gradient that is zero for so many steps will stay so."""

_RESET = """\
for module in model.modules():
    if hasattr(module, "reset_parameters"):
        module.reset_parameters()  # random first weights, then make the optimizer"""


@dataclass(frozen=True, slots=True)
class Twins:
    """A layer whose units are all alike.

    Attributes:
        name: of its weight.
        units: how many.
        fate: "same" gradients, or "none".
    """

    name: str
    units: int
    fate: str


def look(subject: Subject) -> Finding:
    """Look at first weights and first gradients, and at the weights now."""
    seen = subject.anatomy("initial", training=False)
    found = [twins for twins in same_units(seen) if _alike_now(subject, twins)]
    layers = sum(1 for _ in _weights(seen))
    still = [twins for twins in found if twins.fate == "same" or subject.run.steps >= STILL]
    if not still:
        message = f"No: in each of {layers} layers the units begin with different weights, or get different gradients."
        if found:
            message = (
                f"Perhaps: all {found[0].units} units of {found[0].name} are alike, and their first gradient is zero."
            )
        return finding(INFO, "info" if found else "ok", message, evidence={"layers": float(layers)})
    first = still[0]
    if first.fate == "same":
        what = "begin with the same weights and get the same gradients, so that they stay copies of one unit"
    else:
        what = "begin with the same weights, and no gradient ever reached them, so that they are not trained"
    more = f" So it is with {len(still) - 1} more of {layers} layers." if len(still) > 1 else ""
    message = f"Yes: all {first.units} units of {first.name} {what}.{more}"
    evidence = {"layers": float(layers), "alike": float(len(still))}
    remedy = Remedy("Draw the first weights at random, and make the optimizer afterwards.", _RESET)
    return finding(INFO, "error", message, evidence=evidence, remedy=remedy, where=first.name, basis="structure")


def same_units(seen: Anatomy) -> Iterator[Twins]:
    """The layers whose units have the same weights, biases and gradients, or the same weights and no gradient at all."""
    parameters = dict(seen.model.named_parameters())
    for name, weight in _weights(seen):
        gradient = seen.gradients.get(name)
        if gradient is None or not bool(torch.isfinite(gradient).all()):
            continue
        groups = _groups(seen.model, name, weight)
        if weight.shape[0] < 2 * groups or not _same_rows(weight.detach(), groups):
            continue
        if not bool(gradient.any()):
            yield Twins(name, weight.shape[0] // groups, "none")
            continue
        bias = f"{name.removesuffix('weight')}bias"
        beside = [parameters[bias], seen.gradients.get(bias)] if name.endswith("weight") and bias in parameters else []
        if all(one is None or _same_rows(one.detach(), groups) for one in (gradient, *beside)):
            yield Twins(name, weight.shape[0] // groups, "same")


def _weights(seen: Anatomy) -> Iterator[tuple[str, torch.Tensor]]:
    """The matrices that layers multiply with, each once, in the order in which they are used."""
    parameters = dict(seen.model.named_parameters())
    used = (node for node in flow_of(seen) if node.kind in ("layer", "recurrent", "attention"))
    names = dict.fromkeys(
        name for node in used for name, p in parameters.items() if any(p is one for one in node.call.inputs)
    )
    for name in names:
        if parameters[name].dim() >= 2 and parameters[name].requires_grad:
            yield name, parameters[name]


def _groups(model: nn.Module, name: str, weight: torch.Tensor) -> int:
    """Into how many parts of like units the rows fall: the gates of a recurrent layer, or query, key and value."""
    module = model.get_submodule(name.rpartition(".")[0])
    hidden = getattr(module, "hidden_size", None)
    if isinstance(module, nn.RNNBase | nn.RNNCellBase) and isinstance(hidden, int):
        return max(1, weight.shape[0] // hidden)
    return 3 if isinstance(module, nn.MultiheadAttention) and name.endswith("in_proj_weight") else 1


def _same_rows(values: torch.Tensor, groups: int) -> bool:
    rows = values.reshape(groups, len(values) // groups, -1)
    size = rows.abs().amax()
    return bool(((rows - rows[:, :1]).abs() <= ALIKE * size).all())


def _alike_now(subject: Subject, twins: Twins) -> bool:
    """Whether the units are alike to this day."""
    weight = subject.training.model.get_parameter(twins.name).detach()
    return _same_rows(weight, _groups(subject.training.model, twins.name, weight))


CHECK = Check(INFO, look)
