"""activation_scale: does the signal keep its size on its way through the network?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, row_chart
from nn_inspector.checks.init.first_weights import first_weights, redraw
from nn_inspector.checks.race import FAILED, known_left, race
from nn_inspector.checks.symptoms import NOT_LEARNING, UNSTABLE
from nn_inspector.experiments import Anatomy, TrainingCopy, take_apart
from nn_inspector.experiments.flow import Flow, Node, flow_of
from nn_inspector.history import Evidence, Finding, Remedy

INFO = CheckInfo(
    name="activation_scale",
    stage="init",
    kind="active",
    question="Does the signal keep its size on its way through the network?",
    why=(
        "What makes one item different from another has to arrive at the last layer. If each layer passes on a third of "
        "it, ten layers leave a fifty-thousandth: all items look alike at the end, and the gradient dies on its way back in "
        "the same way. If each layer makes it three times as large, everything explodes."
    ),
    how=(
        "A copy with its first weights makes one pass. It measures how much the items differ in what each layer returns. "
        "If that falls or grows a hundredfold from the first hidden layer to the last, a copy is trained whose layers are "
        "scaled so that each returns values with mean 0 and spread 1. It is raised only if that copy gets much further in "
        "a few steps than your whole training did. Where no copy could be trained, it is a warning if next to nothing of the "
        "signal is left and your training learned little."
    ),
    remedy="Draw the weights with kaiming_normal_, put a normalization behind each layer, or add skip connections.",
    sources=(
        "Mishkin and Matas, All you need is a good init (2016)",
        "He and others, Delving Deep into Rectifiers (2015)",
        "CS231n, Neural Networks Part 2: weight initialization",
    ),
    explains=(
        *NOT_LEARNING, *UNSTABLE, "dead_units", "saturation", "vanishing_gradients", "update_ratio", "weight_spread",
    ),
)  # fmt: skip

FADED, GROWN = 1e-2, 1e2
"""The items differ by so many times as much at the last hidden layer as at the first: orders of magnitude. Four layers with
torch's own first weights leave a twentieth, and learn."""

LOST = 1e-5
"""Nothing is left of such a signal, or it has grown as much: a training that failed may have failed for it."""

MOST_LAYERS = 40

_CODE = """\
for module in model.modules():
    if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)):
        torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
# or torch.nn.BatchNorm1d / BatchNorm2d / LayerNorm behind each layer; then make the optimizer"""


@dataclass(frozen=True, slots=True)
class Signal:
    """How much the items of a batch differ in what a layer returns.

    Attributes:
        name: of the layer's weight.
        spread: standard deviation over the items, mean over all places.
    """

    name: str
    spread: float


def look(subject: Subject) -> Finding:
    """Follow the signal through the layers, and try it scaled where it fades or grows."""
    path = signals(subject.anatomy("initial"))
    if len(path) < 2:
        return finding(INFO, "ok", "There are not two hidden layers that the signal has to pass.")
    evidence: Evidence = {signal.name: signal.spread for signal in path}
    first, last = path[0], path[-1]
    change = last.spread / first.spread if first.spread > 0 else float("inf")
    measured = f"the items differ by {first.spread:.2g} in {first.name} and by {last.spread:.2g} in {last.name}, the last hidden layer"
    if FADED <= change <= GROWN:
        return finding(INFO, "ok", f"Yes: {measured}.", evidence=evidence)
    batch = subject.batches()[0]
    tried = race(subject, lambda copied: even_out(copied, batch))
    remedy = Remedy(
        "Draw the first weights with kaiming_normal_, or put a normalization behind each layer.",
        _CODE,
        tried.trial if tried is not None else None,
    )
    fate = "The signal dies out" if change < FADED else "The signal blows up"
    if tried is None and not LOST <= change <= 1 / LOST and (known_left(subject) or 0.0) > FAILED:
        message = f"No. {fate}: {measured}. Your training has learned little. Whether this is why could not be tried."
        return finding(INFO, "warning", message, evidence=evidence, remedy=remedy, where=last.name)
    if tried is None or tried.severity == "info":
        message = f"{fate}: {measured}. But no harm was seen."
        return finding(INFO, "info", message, evidence=evidence, remedy=remedy, where=last.name)
    message = f"No. {fate}: {measured}. {tried.text}"
    return finding(INFO, tried.severity, message, evidence=evidence, remedy=remedy, where=last.name, basis="experiment")


def signals(seen: Anatomy) -> list[Signal]:
    """What each hidden layer returns, in the order in which they run.

    The last layers, behind which there is none, are left out, and so are gates and branches that begin with zeros.
    """
    weights = dict(seen.model.named_parameters())
    return [
        Signal(node.weight, _spread(node.call.output))
        for node in _hidden(flow_of(seen))
        if node.weight is not None and bool(weights[node.weight].any())
    ]


@torch.no_grad()
def even_out(copied: TrainingCopy, batch: Any) -> None:
    """Give what each layer of a copy returns the mean 0 and the spread 1 over the items, one layer after the other."""
    seen = take_apart(copied, batch, backward=False)
    redraw(copied.model, [layer for layer in first_weights(seen) if layer.recurrent])
    parameters = dict(copied.model.named_parameters())
    names = dict.fromkeys(node.weight for node in flow_of(seen).of("layer") if node.weight in parameters)
    for name in list(names)[:MOST_LAYERS]:
        nodes = flow_of(take_apart(copied, batch, backward=False)).of("layer")
        output = next((node.call.output for node in nodes if node.weight == name), None)
        spread = _spread(output)
        if output is None or not 0 < spread < float("inf"):
            continue
        weight = parameters[name or ""]
        weight.div_(spread)
        bias = parameters.get(f"{(name or '').removesuffix('weight')}bias")
        axis = 1 if weight.dim() > 2 else output.dim() - 1
        if bias is not None and bias.shape == (output.shape[axis],):
            mean = output.float().mean([one for one in range(output.dim()) if one != axis])
            bias.sub_(mean.to(bias)).div_(spread)


def _hidden(flow: Flow) -> list[Node]:
    layers = [node for node in flow.of("layer") if node.weight is not None and _counts(node.call.output)]
    passed = {behind.place for node in layers for behind in flow.behind(node)}
    return [node for node in layers if node.place in passed]


def _counts(output: torch.Tensor | None) -> bool:
    return output is not None and output.dim() >= 2 and len(output) >= 2 and output.is_floating_point()


def _spread(output: torch.Tensor | None) -> float:
    return float(output.detach().float().std(0).mean()) if output is not None and len(output) > 1 else 0.0


CHECK = Check(INFO, look, row_chart("how much the items differ", "first weights"))
