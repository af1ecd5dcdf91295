"""symmetry: are there units that can never become different from each other?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.init.one_module import OneModule, one_module
from nn_inspector.checks.race import known_left, race
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
        "the same gradient, or the same weights and no gradient in the whole run, and are still alike now. Where they "
        "have become different since, a copy trains with weights drawn anew, and it is raised if that learns far more. It is an error, too, if a "
        "list holds one module several times and gives it the same input each time. "
        "Last layers, gates and branches that begin with zeros get gradients that differ, and pass."
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

LEARNED = 0.05
"""A training with no more than this left to learn has done without different units."""

STILL = 10
"""A gradient that is zero for so many steps will stay so."""

_MATRIX = 2
_PRODUCTS = ("matmul", "mm", "addmm")

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
        fate: the first gradients are the "same", "none", or "different".
        turned: whether its units are the columns of the weight, as in `x @ weight`, and not the rows.
    """

    name: str
    units: int
    fate: Literal["same", "none", "different"]
    turned: bool = False


def look(subject: Subject) -> Finding:
    """Look at first weights and first gradients, and at the weights now."""
    seen = subject.anatomy("initial", training=False)
    single = one_module(seen)
    if single is not None:
        return _single(single)
    began = list(same_units(seen))
    found = [twins for twins in began if twins.fate != "different" and _alike_now(subject, twins)]
    layers = sum(1 for _ in _weights(seen))
    still = [twins for twins in found if twins.fate == "same" or subject.run.steps >= STILL]
    if not still:
        parted = _parted(subject, [twins for twins in began if twins.fate != "none"])
        if parted is not None:
            return parted
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


def _single(found: OneModule) -> Finding:
    return finding(
        INFO,
        "error",
        f"Yes: `{found.container}` holds one {found.kind} {found.times} times, and not {found.times} of them. All get the same input, so "
        f"they give one answer, and have {found.parameters:,} numbers to learn together.",
        evidence={"times": float(found.times)},
        remedy=Remedy(
            "Make each one anew: multiplying a list repeats what is in it.",
            f"{found.container.rpartition('.')[2]} = torch.nn.ModuleList([{found.kind}(...) for _ in range({found.times})])  "
            f"# not [{found.kind}(...)] * {found.times}",
        ),
        where=found.container,
        basis="structure",
    )


def _parted(subject: Subject, began: list[Twins]) -> Finding | None:
    """Units that began as copies of each other and became different, if a copy with other first weights does far better."""
    tried = race(subject, lambda copied: _redraw(copied.model, began)) if began else None
    if tried is None or tried.severity == "info":
        return _told_apart_by_rounding(subject, [twins for twins in began if twins.fate == "same"])
    first = began[0]
    message = f"Nearly: all {first.units} units of {first.name} begin with the same weights, and become different only slowly. {tried.text}"
    remedy = Remedy("Draw the first weights at random, and make the optimizer afterwards.", _RESET, tried.trial)
    evidence = {"alike": float(len(began))}
    return finding(
        INFO, tried.severity, message, evidence=evidence, remedy=remedy, where=first.name, basis="experiment"
    )


def _told_apart_by_rounding(subject: Subject, began: list[Twins]) -> Finding | None:
    """Units that began with the same weights, and were alike after the first step, in a training that has something left to learn."""
    stepped = subject.training.after_first_step or {}
    alike = [twins for twins in began if twins.name in stepped and _are_alike(subject, twins, stepped[twins.name])]
    left = known_left(subject) if alike else None
    if left is None or left <= LEARNED:
        return None
    first = alike[0]
    message = (
        f"Nearly: all {first.units} units of {first.name} begin with the same weights and get the same gradients. Only what is rounded has made "
        f"them different since. Your training has {left:.0%} left to learn."
    )
    remedy = Remedy("Draw the first weights at random, and make the optimizer afterwards.", _RESET)
    return finding(INFO, "warning", message, evidence={"alike": float(len(alike))}, remedy=remedy, where=first.name)


@torch.no_grad()
def _redraw(model: nn.Module, layers: list[Twins]) -> None:
    for twins in layers:
        weight = model.get_parameter(twins.name)
        inputs = weight.shape[0] if twins.turned else weight[0].numel()
        weight.normal_(0.0, inputs**-0.5)


def same_units(seen: Anatomy) -> Iterator[Twins]:
    """The layers whose units begin with the same weights and biases, and what their first gradients are."""
    parameters = dict(seen.model.named_parameters())
    for name, turned in _weights(seen):
        weight, gradient = parameters[name].detach(), seen.gradients.get(name)
        gradient = gradient.to_dense() if gradient is not None and gradient.is_sparse else gradient
        if gradient is None or not bool(torch.isfinite(gradient).all()):
            continue
        if turned:
            weight, gradient = weight.transpose(0, 1), gradient.transpose(0, 1)
        groups = _groups(seen.model, name, weight)
        if weight.shape[0] < 2 * groups or not _same_rows(weight, groups):
            continue
        if not bool(gradient.any()):
            yield Twins(name, weight.shape[0] // groups, "none", turned)
            continue
        bias = f"{name.removesuffix('weight')}bias"
        beside = [parameters[bias], seen.gradients.get(bias)] if name.endswith("weight") and bias in parameters else []
        if all(one is None or _same_rows(one.detach(), groups) for one in (gradient, *beside)):
            yield Twins(name, weight.shape[0] // groups, "same", turned)
        elif bool(weight.any()):
            yield Twins(name, weight.shape[0] // groups, "different", turned)


def _weights(seen: Anatomy) -> Iterator[tuple[str, bool]]:
    """The matrices that layers multiply with or look up in, each once, as they are used, and whether units are columns."""
    parameters = {name: p for name, p in seen.model.named_parameters() if p.dim() >= _MATRIX and p.requires_grad}
    found: dict[str, bool] = {}
    for node in flow_of(seen):
        if node.kind in ("layer", "recurrent", "attention", "embedding"):
            product = node.call.name in _PRODUCTS
            for name, parameter in parameters.items():
                if any(parameter is one for one in node.call.inputs):
                    turned = product and parameter.dim() == _MATRIX and parameter is not node.call.inputs[0]
                    found.setdefault(name, turned or node.kind == "embedding")
    yield from found.items()


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
    return _are_alike(subject, twins, subject.training.model.get_parameter(twins.name).detach())


def _are_alike(subject: Subject, twins: Twins, weight: torch.Tensor) -> bool:
    if twins.turned:
        weight = weight.transpose(0, 1)
    return _same_rows(weight, _groups(subject.training.model, twins.name, weight))


CHECK = Check(INFO, look)
