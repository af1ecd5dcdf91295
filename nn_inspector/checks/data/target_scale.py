"""target_scale: do the numbers to predict have a scale that the network can reach soon?"""

from __future__ import annotations

import torch

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.data.targets_seen import TargetsSeen, targets_seen, with_targets
from nn_inspector.checks.race import race
from nn_inspector.checks.symptoms import ALL_SYMPTOMS
from nn_inspector.history import Finding, Remedy

INFO = CheckInfo(
    name="target_scale",
    stage="data",
    kind="active",
    question="Do the numbers to predict have a scale that the network can reach soon?",
    why=(
        "A network starts with outputs around 0, of the size of its inputs. If house prices are given in euros, the "
        "error and its gradient are huge at first: plain gradient descent blows up, and Adam, whose steps have a fixed "
        "size, needs thousands of them to get there."
    ),
    how=(
        "It looks at the mean and standard deviation of the targets. If they are far from 0 and 1, a copy is trained with "
        "standardized targets. How far each copy gets is measured as the share of the targets' variance that it "
        "explains, which does not depend on their unit. It is an error if the copy gets much further in a few steps than "
        "your whole training did, and else a remark."
    ),
    remedy="Train on (y - mean) / std, and turn predictions back with prediction * std + mean.",
    sources=("Bishop, Neural Networks for Pattern Recognition (1995): input normalization and encoding, section 8.2",),
    explains=(
        *ALL_SYMPTOMS, "initial_loss", "output_bias", "learning_rate", "weight_scale", "optimizer_settings", "batch_size",
        "capacity", "loss_reduction", "label_alignment",
    ),
)  # fmt: skip

USUAL_SPREAD = (0.1, 4.0)
"""Standard deviations of the targets that need no second look."""

OFF_CENTRE = 3.0
"""So many standard deviations the mean may be away from 0."""


def look(subject: Subject) -> Finding:
    """Look at the targets, and train a copy with standardized ones if they are unusual."""
    seen = targets_seen(subject)
    mean, spread = float(seen.mean.mean()), float(seen.spread.mean())
    evidence = {"mean": mean, "spread": spread, "low": float(seen.values.min()), "high": float(seen.values.max())}
    measured = f"mean {mean:.3g}, standard deviation {spread:.3g}"
    unusual = rule(seen)
    if unusual is None:
        return finding(INFO, "ok", f"Yes: {measured}.", evidence=evidence)
    centre, width = seen.mean, seen.spread.clamp(min=1e-12)

    def standardized(target: torch.Tensor) -> torch.Tensor:
        flat = target.reshape(-1, len(centre))
        return ((flat - centre.to(flat)) / width.to(flat)).reshape(target.shape)

    tried = race(subject, data=with_targets(seen, standardized))
    remedy = Remedy(
        "Train on standardized targets, and turn predictions back with the same two numbers.",
        (
            "y = torch.cat([batch[-1] for batch in train_loader]).float()\n"
            "mean, std = y.mean(0), y.std(0)\n"
            "# in the loop: loss = loss_fn(model(x), (y - mean) / std); to predict: model(x) * std + mean"
        ),
        tried.trial if tried is not None else None,
    )
    if tried is None or tried.severity == "info":
        message = f"{unusual} ({measured}). That is unusual, but no harm was seen."
        return finding(INFO, "info", message, evidence=evidence, remedy=remedy, where="train_loader")
    message = f"No: {unusual.lower()} ({measured}). {tried.text}"
    return finding(
        INFO, tried.severity, message, evidence=evidence, remedy=remedy, where="train_loader", basis="experiment"
    )


def rule(seen: TargetsSeen) -> str | None:
    """What is unusual about targets, in a few words; None if nothing is."""
    widths = seen.spread
    if float(widths.max()) > USUAL_SPREAD[1]:
        return "The targets are large"
    if float(widths.max()) == 0:
        return None
    if float(widths.max()) < USUAL_SPREAD[0]:
        return "The targets are almost constant"
    centre = seen.mean.abs()
    if float((centre / widths.clamp(min=1e-12)).max()) > OFF_CENTRE and float(centre.max()) > 1:
        return "The targets are far from 0"
    return None


CHECK = Check(INFO, look, trial_chart)
