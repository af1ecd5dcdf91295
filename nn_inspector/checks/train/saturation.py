"""saturation: are there sigmoids and tanhs at the ends of their range, where no gradient passes?"""

from __future__ import annotations

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, row_chart
from nn_inspector.checks.symptoms import NOT_LEARNING
from nn_inspector.checks.train.standstill import got_nowhere
from nn_inspector.checks.train.units_now import units_now
from nn_inspector.history import Evidence, Finding, Remedy

INFO = CheckInfo(
    name="saturation",
    stage="train",
    kind="passive",
    question="Are sigmoids and tanhs at the ends of their range?",
    why=(
        "Near 0 and 1 a sigmoid is flat, and so is a tanh near -1 and 1. A unit that is there for every item passes on less than "
        "a hundredth of the gradient, and the layers before it stand still. Inputs or weights that are too large, or a rate that "
        "is too high, drive units there."
    ),
    how=(
        "A copy with the weights of now answers for some batches. A unit is saturated if its slope is below 0.01 for all items. "
        "It is a warning if half the units of a layer are, and the training did badly."
    ),
    remedy="Scale the inputs, draw the weights with xavier_normal_, lower the rate, or use ReLU.",
    sources=(
        "Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks (2010)",
        "CS231n, Neural Networks Part 1: sigmoids saturate and kill gradients",
    ),
    explains=(*NOT_LEARNING, "update_ratio"),
)

HALF = 0.5
"""No sound training had so large a share of a layer's units without a slope for every item."""

SOME = 0.2
"""From here on it is worth knowing."""


def look(subject: Subject) -> Finding:
    """Count the saturated units of each layer."""
    layers = [layer for layer in units_now(subject) if layer.function in ("sigmoid", "tanh", "hardtanh")]
    if not layers:
        return finding(INFO, "ok", "No: there are no sigmoids or tanhs between layers.")
    evidence: Evidence = {f"{layer.where} ({layer.units})": layer.idle for layer in layers}
    worst = max(layers, key=lambda layer: layer.idle)
    said = f"{worst.idle:.0%} of the {worst.units} units of {worst.where} are at an end of their range for every item"
    if worst.idle < SOME:
        return finding(INFO, "ok", f"No: at most {said}.", evidence=evidence)
    if worst.idle < HALF or not got_nowhere(subject):
        message = f"Some: {said}. The training does not seem to suffer from it."
        return finding(INFO, "info", message, evidence=evidence, where=worst.where)
    remedy = Remedy(
        "Scale the inputs to a spread of 1, start with smaller weights, or use ReLU in place of the hidden sigmoid or tanh.",
        (
            "for module in model.modules():\n    if isinstance(module, torch.nn.Linear):\n"
            "        torch.nn.init.xavier_normal_(module.weight)"
        ),
    )
    message = f"Yes: {said}, so that hardly any gradient passes. The cause may lie elsewhere."
    return finding(INFO, "warning", message, evidence=evidence, remedy=remedy, where=worst.where)


CHECK = Check(INFO, look, row_chart("share of saturated units"))
