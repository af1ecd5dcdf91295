"""simpler_baseline: does a much simpler model do better on the same data?"""

from __future__ import annotations

import math

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, row_chart
from nn_inspector.checks.baselines import Baselines, Score, baselines
from nn_inspector.checks.loop.broadcasts import weighs_items
from nn_inspector.history import Evidence, Finding, Remedy, Severity

INFO = CheckInfo(
    name="simpler_baseline",
    stage="model",
    kind="active",
    question="Does a much simpler model do better on the same data?",
    why=(
        "A linear model or a small network with one hidden layer takes a second to train. What they reach says how much "
        "there is to learn at least. A large network that stays far behind them has a fault, whatever its curves look like."
    ),
    how=(
        "About a thousand items of train_loader are drawn. The most frequent class (or the mean), a linear model and one "
        "hidden layer of 64 units are trained on 70 % of them and judged on the rest. Your network as it is now is judged "
        "on the same rest, which it has seen in its training. It is a warning if, after 100 steps or more, it has not "
        "half of what the best of the simple models has learned, unless your loop weighs its items."
    ),
    remedy="Look for the cause in the other findings. Until it is found, the simple model is the one to use.",
    sources=(
        "Karpathy, A Recipe for Training Neural Networks (2019): simple baselines first",
        "CS231n, Neural Networks Part 3: sanity checks",
    ),
)

ENOUGH_STEPS = 100
"""Earlier, a network has no need to be better than anything."""

LEARNABLE = 0.25
"""The data can be learned if a simple model goes so much of the way from knowing nothing to a perfect score."""

HALF = 0.5
"""A network that has gone less than this share of the simple model's way is far behind."""


def look(subject: Subject) -> Finding:
    """Compare the network with simple models."""
    steps = subject.run.steps
    subject.require_steps()
    known = baselines(subject)
    weighs = weighs_items(subject.run)
    severity = rule(known, steps)
    if severity == "warning" and weighs:
        severity = "info"
    best, network = known.best, known.network
    evidence: Evidence = {one.name: one.score for one in (known.constant, *known.simple, network)}
    if severity == "ok":
        message = (
            f"No: your network has {_said(known, network)}, {_named(known, best)} {_said(known, best, short=True)}."
        )
        return finding(INFO, severity, message, evidence=evidence)
    message = (
        f"Yes: after {steps:,} steps your network has {_said(known, network)} on items of its own training data, and "
        f"{_named(known, best)} that has not seen them has {_said(known, best, short=True)}."
    )
    if severity == "info":
        message += (
            " But your loop weighs its items, and here all count alike." if weighs else " It may need more steps."
        )
    remedy = Remedy(
        "The data can be learned, so the fault is in the network, its loss, its rate or the loop. Until it is found, use "
        "the simple model.",
        _CODE[best.name],
    )
    return finding(INFO, severity, message, evidence=evidence, remedy=remedy, basis="experiment")


def rule(known: Baselines, steps: int) -> Severity:
    """How the network stands to the best simple model.

    "info" where it is behind by more than chance explains, "warning" where it has not half of what the simple model has
    learned, and that is a good deal.
    """
    if known.learnable < LEARNABLE or not known.behind:
        return "ok"
    return "warning" if known.reached < HALF and steps >= ENOUGH_STEPS else "info"


def _named(known: Baselines, one: Score) -> str:
    if one.name == "linear" and known.seen.reconstructs:
        return "a reconstruction from two numbers"
    names = {"constant": "a constant answer", "linear": "a linear model", "hidden": "one hidden layer of 64 units"}
    return names[one.name]


def _said(known: Baselines, one: Score, *, short: bool = False) -> str:
    if not math.isfinite(one.score):
        return "predictions that are no numbers"
    if not known.seen.answers:
        return f"{one.score:.2f}" if short else f"an R² of {one.score:.2f} (1 is perfect, 0 is always the mean)"
    return f"{one.score:.0%}" if short else f"{one.score:.0%} right answers"


_CODE = {
    "constant": "most_frequent = y_train.mode().values",
    "linear": "model = torch.nn.Linear(x_train[0].numel(), outputs)  # after x = x.flatten(1)",
    "hidden": (
        "model = torch.nn.Sequential(\n"
        "    torch.nn.Flatten(),\n"
        "    torch.nn.Linear(x_train[0].numel(), 64),\n"
        "    torch.nn.ReLU(),\n"
        "    torch.nn.Linear(64, outputs),\n"
        ")"
    ),
}

CHECK = Check(INFO, look, row_chart("score", "score"))
