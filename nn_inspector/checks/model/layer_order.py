"""layer_order: do the layers run in an order that makes sense?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.model.norms import nothing_instead
from nn_inspector.checks.race import known_left, race
from nn_inspector.checks.symptoms import NOT_LEARNING
from nn_inspector.experiments import Anatomy
from nn_inspector.experiments.flow import STRAIGHT, Flow, Node, flow_of
from nn_inspector.experiments.rewiring import Spot, rewire
from nn_inspector.history import Finding, Remedy

INFO = CheckInfo(
    name="layer_order",
    stage="model",
    kind="passive",
    question="Do the layers run in an order that makes sense?",
    why=(
        "The usual order is linear or convolution, normalization, activation, dropout. A bias before a normalization is taken "
        "away again. Dropout before batch normalization makes its statistics wrong. Dropout behind the last layer sets answers "
        "to zero at random, which no training can learn."
    ),
    how=(
        "A copy makes one pass, and each call is seen in the order in which it really runs, whatever the names in the model "
        "say. What is out of order is a remark. Dropout on the output is left out on trial: it is raised if that copy gets much "
        "further, and as a warning if it is a fifth or more and a tenth of the task is still to be learned."
    ),
    remedy="Order each block as linear or convolution, normalization, activation, dropout; nothing behind the last layer.",
    sources=(
        "Ioffe and Szegedy, Batch Normalization (2015)",
        "Li and others, Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift (2019)",
    ),
    explains=(*NOT_LEARNING, "train_eval_mode", "regularization_sweep"),
)

MUCH = 0.2
"""Dropout of this share of the answers is a fault, however far the network came."""

LEFT = 0.1
"""Unless it has no more than this share of the task still to learn."""

_ORDER = """\
block = torch.nn.Sequential(
    torch.nn.Linear(inputs, 64, bias=False),  # the normalization has a bias of its own
    torch.nn.BatchNorm1d(64),
    torch.nn.ReLU(),
    torch.nn.Dropout(0.2),
)"""


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something that is out of order.

    Attributes:
        said: in a few words.
        where: the module.
        spot: the call to leave out on trial; None if nothing is to be tried.
        lost: share of the network's answers that it sets to zero.
    """

    said: str
    where: str
    spot: Spot | None = None
    lost: float = 0.0


def look(subject: Subject) -> Finding:
    """Look at the order in which things run."""
    found = list(oddities(subject.anatomy("initial")))
    if not found:
        return finding(INFO, "ok", "Yes: nothing runs out of the usual order.")
    remedy = Remedy("Order each block as linear or convolution, normalization, activation, dropout.", _ORDER)
    spots = {one.spot for one in found if one.spot is not None}
    if spots:
        tried = race(subject, lambda copied: rewire(copied.model, dict.fromkeys(spots, nothing_instead)))
        if tried is not None and tried.severity != "info":
            first = next(one for one in found if one.spot is not None)
            remedy = Remedy(f"Take {first.where} out of the model.", "# no dropout behind the last layer", tried.trial)
            message = f"No: {first.said}. {tried.text}"
            return finding(INFO, tried.severity, message, remedy=remedy, where=first.where, basis="experiment")
        lost = next((one for one in found if one.lost >= MUCH), None)
        if lost is not None and (known_left(subject) or 0.0) > LEFT:
            message = f"No: {lost.said}: in training it sets {lost.lost:.0%} of what the network answers to zero."
            remedy = Remedy(f"Take {lost.where} out of the model.", "# no dropout behind the last layer")
            return finding(INFO, "warning", message, remedy=remedy, where=lost.where, basis="structure")
    said = "; ".join(one.said for one in found[:3]) + ("; and so on" if len(found) > 3 else "")
    message = f"Not quite: {said}. No harm was seen."
    return finding(INFO, "info", message, evidence={"found": float(len(found))}, remedy=remedy, where=found[0].where)


def oddities(seen: Anatomy) -> Iterator[Oddity]:
    """What is out of order, what matters most first."""
    flow = flow_of(seen)
    for rule in (_dropout_at_the_end, _dropout_before_norm, _two_functions, _useless_bias(seen)):
        yield from rule(flow)


def _dropout_at_the_end(flow: Flow) -> Iterator[Oddity]:
    layers = flow.of("layer")
    for node in flow.of("dropout"):
        after = flow.after(node, STRAIGHT | {"softmax", "bounded"})
        if layers and node.place > layers[-1].place and not after and _share(node) > 0:
            said = f"{_name(node)}, a dropout, stands behind the last layer"
            yield Oddity(said, _name(node), (node.call.name, node.turn), _share(node))


def _dropout_before_norm(flow: Flow) -> Iterator[Oddity]:
    for node in flow.of("dropout"):
        if any(one.call.name == "batch_norm" for one in flow.after(node, {"move", "affine"})) and _share(node) > 0:
            yield Oddity(f"{_name(node)}, a dropout, stands right before a batch normalization", _name(node))


def _two_functions(flow: Flow) -> Iterator[Oddity]:
    for node in flow.of("activation", "bounded"):
        behind = [one for one in flow.next(node) if one.kind in ("activation", "bounded")]
        if (
            behind
            and node.call.name in ("relu", "sigmoid", "tanh")
            and behind[0].call.name in ("relu", "sigmoid", "tanh")
        ):
            yield Oddity(f"{behind[0].call.name} works on what {node.call.name} returned", _name(behind[0]))


def _useless_bias(seen: Anatomy) -> Callable[[Flow], Iterator[Oddity]]:
    parameters = dict(seen.model.named_parameters())

    def rule(flow: Flow) -> Iterator[Oddity]:
        for node in flow.of("layer"):
            bias = f"{(node.weight or '').removesuffix('weight')}bias"
            after = flow.after(node, {"move"})
            if bias in parameters and after and all(one.call.name == "batch_norm" for one in after):
                yield Oddity(f"{bias} stands before a batch normalization, which takes it away", bias)

    return rule


def _share(node: Node) -> float:
    given = node.call.options.get("p", node.call.options.get("1", 0.5))
    return float(given) if isinstance(given, int | float) else 0.5


def _name(node: Node) -> str:
    return node.call.module or f"{node.call.name}()"


CHECK = Check(INFO, look, trial_chart)
