"""hidden_activation: do the functions between the layers let the network learn?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.init.first_weights import first_weights, redraw
from nn_inspector.checks.model.second_derivatives import NoCurve, no_curve
from nn_inspector.checks.model.sharp_softmax import odd_scores
from nn_inspector.checks.model.single_softmax import single_softmax
from nn_inspector.checks.race import Change, known_left, race
from nn_inspector.checks.symptoms import ALL_SYMPTOMS
from nn_inspector.experiments import Anatomy, TrainingCopy
from nn_inspector.experiments.flow import STRAIGHT, Flow, Kind, Node, flow_of
from nn_inspector.experiments.rewiring import Replacement, Spot, followed_by, rewire
from nn_inspector.history import Finding, Remedy

INFO = CheckInfo(
    name="hidden_activation",
    stage="model",
    kind="active",
    question="Do the functions between the layers let the network learn?",
    why=(
        "Without a function between them, ten linear layers are worth a single one, and no curve can be learned. A softmax "
        "between layers lets the units of a layer only share out a sum of 1, which leaves the next layer almost nothing. "
        "And each sigmoid passes on a quarter of the gradient at most, so that the first of five layers gets next to none."
    ),
    how=(
        "A copy with its first weights makes one pass, and each function is seen with the layers around it. It looks for a "
        "softmax before a layer, for layers with nothing between them, and for three sigmoids or tanhs in a row behind "
        "which the items differ far less. Then a copy is trained with ReLU there. It is raised only if that copy gets much "
        "further in a few steps than your whole training did; of several softmaxes it is a warning if anything is left to learn. A softmax along an axis with one number on it, whose weights are all 1, "
        "is tried along the longest other axis; one that weighs data by scores that spread more than 20, or hardly at all, with scores "
        "that spread by 1. It is an error as well if a part of the loss has a gradient with "
        "tanh only: ReLU has no second derivative."
    ),
    remedy="Put a ReLU behind each hidden layer. Sigmoid and softmax belong to the output, if anywhere.",
    sources=(
        "Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks (2010)",
        "CS231n, Neural Networks Part 1: commonly used activation functions",
    ),
    explains=(
        *ALL_SYMPTOMS, "learning_rate", "capacity", "initial_loss", "optimizer_settings", "batch_size", "normalization",
        "label_alignment", "loss_learnable",
    ),
)  # fmt: skip

LONG = 3
"""So many sigmoids or tanhs one behind the other make a long row."""

DYING = 0.1
"""The signal dies out in such a row if the items differ by less than this share of what they did behind its first function."""

_STEPS = 720
"""A curve takes longer to be learned than what a line can tell."""

LEARNED = 0.05
"""A network that has no more than this left to learn is not told what it could do without."""

_LINE: frozenset[Kind] = frozenset({"move", "affine", "dropout"})

_STRAIGHT: frozenset[Kind] = STRAIGHT | {"layer", "norm"}

_CODE = """\
model = torch.nn.Sequential(
    torch.nn.Linear(inputs, 64), torch.nn.ReLU(),
    torch.nn.Linear(64, 64), torch.nn.ReLU(),
    torch.nn.Linear(64, outputs),  # no function here: the loss takes it as it is
)"""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What may be wrong between the layers.

    Attributes:
        said: in a few words.
        changes: what to do instead, by call.
        where: the module in which the first of these calls is made.
        redrawn: whether the weights are drawn anew as well, as wide as a ReLU wants them.
        harm: what it does for sure, as a sentence; "" if that is for a trial to show.
        text, code: the remedy.
    """

    said: str
    changes: Mapping[Spot, Replacement]
    where: str | None
    redrawn: bool = False
    harm: str = ""
    text: str = "Put a ReLU behind each hidden layer."
    code: str = _CODE


def look(subject: Subject) -> Finding:
    """See what stands between the layers, and try ReLU there; where second derivatives are learned from, look for curves."""
    without_curve = no_curve(subject)
    if without_curve is not None:
        return _without_curve(without_curve)
    seen = subject.anatomy("initial", training=False)
    suspicion = _of_single_numbers(subject, seen) or suspect(seen) or _of_odd_scores(subject, seen)
    if suspicion is None:
        return finding(INFO, "ok", "Yes: nothing unusual stands between the layers.")
    tried = race(subject, _change(suspicion, seen), most=_STEPS)
    remedy = Remedy(suspicion.text, suspicion.code, tried.trial if tried is not None else None)
    if tried is None or tried.severity == "info":
        left = known_left(subject)
        if suspicion.harm and left is not None and left > LEARNED:
            message = f"No: {suspicion.said}. {suspicion.harm} Your training has {left:.0%} left to learn."
            return finding(INFO, "warning", message, remedy=remedy, where=suspicion.where)
        message = f"{suspicion.said[0].upper()}{suspicion.said[1:]}. That is unusual, but no harm was seen."
        return finding(INFO, "info", message, remedy=remedy, where=suspicion.where)
    message = f"No: {suspicion.said}. {tried.text}"
    return finding(INFO, tried.severity, message, remedy=remedy, where=suspicion.where, basis="experiment")


def _without_curve(found: NoCurve) -> Finding:
    return finding(
        INFO,
        "error",
        f"No: {found.part.name}, a part of the loss, gets no gradient. With tanh in place of `{found.where}` and the like it gets one "
        f"of {found.curved:.2g}: it is about second derivatives, and those of a network of straight pieces are 0 everywhere.",
        evidence={"gradient": found.part.gradient, "gradient_with_tanh": found.curved},
        remedy=Remedy(
            "Use a function that is curved: tanh, sin, softplus or SiLU.",
            "model = torch.nn.Sequential(torch.nn.Linear(1, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1))",
        ),
        where=found.where,
        basis="experiment",
    )


def suspect(seen: Anatomy) -> Suspicion | None:
    """The first of what may be wrong: a softmax between layers, nothing between them, or a long row that lets nothing through."""
    flow = flow_of(seen)
    return _softmax(flow) or _nothing_between(flow) or _long_row(flow)


def _of_single_numbers(subject: Subject, seen: Anatomy) -> Suspicion | None:
    """A softmax that is to weigh the positions of a sequence, along an axis with one number on it."""
    found = single_softmax(subject, seen)
    if found is None:
        return None
    said = (
        f"a softmax of {found.shape} works along axis {found.axis}, which holds a single number. All its weights are 1, and "
        "nothing before it can learn"
    )
    if found.idle:
        said += f": the gradient of {', '.join(found.idle[:2])} was 0 in each step that was measured"
    return Suspicion(
        said,
        {(found.node.call.name, found.node.turn): found.instead},
        found.node.call.module or None,
        text=f"Let it work along the axis of what it is to weigh: dim={found.meant}, with {found.shape[found.meant]} numbers on it.",
        code=f"weights = torch.softmax(scores, dim={found.meant})  # scores: {found.shape}; not dim={found.axis}",
    )


def _of_odd_scores(subject: Subject, seen: Anatomy) -> Suspicion | None:
    """A softmax that weighs data, and that a temperature, or a scale left out, makes choose one entry for good or none."""
    found = odd_scores(subject, seen)
    if found is None:
        return None
    return Suspicion(
        found.text,
        {(found.node.call.name, found.node.turn): found.instead},
        found.node.call.module or None,
        text="Give the scores a spread of about 1 at the beginning: change the temperature, or divide by the square root of their length.",
        code="weights = torch.softmax(queries @ keys.mT / queries.shape[-1] ** 0.5, dim=-1)",
    )


def _softmax(flow: Flow) -> Suspicion | None:
    """A softmax whose result goes into a layer; one that weighs data (attention) does not."""
    found = [
        node
        for node in flow.of("softmax")
        if any(one.kind == "layer" for one in flow.after(node, _LINE | {"pool", "norm"}))
        and not any(one.kind == "gate" for one in flow.next(node))
    ]
    if not found:
        return None
    number = f"{len(found)} times" if len(found) > 1 else "once"
    harm = (
        "The units of each of these layers share a sum of 1, so that the more there are, the less each one says, and behind several of them "
        "hardly anything is left of the differences between items."
    )
    return Suspicion(
        f"a softmax stands between layers, {number}",
        _instead(found, _relu),
        found[0].call.module or None,
        harm=harm if len(found) > 1 else "",
    )


def _nothing_between(flow: Flow) -> Suspicion | None:
    """Layers that go straight into the next one, in a network that has nothing else."""
    layers = flow.of("layer")
    if len(layers) < 2 or any(node.kind not in _STRAIGHT for node in flow.behind(layers[-1])):
        return None
    found = [node for node in layers if any(one.kind == "layer" for one in flow.after(node, _LINE | {"norm", "join"}))]
    said = f"there are only linear layers, {len(layers)} of them, with no function between them"
    return Suspicion(said, _instead(found, followed_by(torch.relu)), found[0].call.module or None) if found else None


def _long_row(flow: Flow) -> Suspicion | None:
    """Sigmoids and tanhs one behind the other, each with a layer before it, which leave little of what makes items differ."""
    row = [
        node
        for node in flow.of("bounded")
        if any(one.kind == "layer" for one in flow.after(node, _LINE | {"pool", "norm"}))
        and any(one is not None and one.kind == "layer" for one in flow.before(node, _LINE | {"norm"}))
        and not any(one.kind == "gate" for one in flow.next(node))
    ]
    if len(row) < LONG or len({node.call.name for node in row}) > 2:
        return None
    first, last = _variety(row[0]), _variety(row[-1])
    if not last < DYING * first:
        return None
    names = " and ".join(dict.fromkeys(node.call.name for node in row))
    said = (
        f"there are {len(row)} layers with {names} in a row, and behind the last of them the items differ by "
        f"{last:.2g} where they differ by {first:.2g} behind the first"
    )
    return Suspicion(said, _instead(row, _relu), row[0].call.module or None, redrawn=True)


def _variety(node: Node) -> float:
    """How much the items of a batch differ in what a call returned."""
    output = node.call.output
    if output is None or output.dim() < 2 or len(output) < 2:
        return 0.0
    return float(output.detach().float().std(0).mean())


def _instead(nodes: list[Node], change: Replacement) -> dict[Spot, Replacement]:
    return {(node.call.name, node.turn): change for node in nodes}


def _relu(function: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor:
    data: torch.Tensor = args[0] if args else kwargs["input"]
    return data.relu()


def _change(suspicion: Suspicion, seen: Anatomy) -> Change:
    weights = first_weights(seen) if suspicion.redrawn else []

    def change(copied: TrainingCopy) -> None:
        redraw(copied.model, weights)
        rewire(copied.model, suspicion.changes)

    return change


CHECK = Check(INFO, look, trial_chart)
