"""How hard weight decay pulls at the weights, in units of what the data ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, initial_state, isolated, set_option, train
from nn_inspector.history import Run
from nn_inspector.probes import group_name

_FIRST = 20


def strongest_decay(run: Run) -> np.ndarray | None:
    """At each measured step, the pull of weight decay over the gradient of the loss; None without weight decay.

    Added to the gradient (SGD, Adam): weight_decay * |w| / |g|. Apart from it (AdamW): lr * weight_decay * |w| over
    the rest of the update. |.| is the Euclidean norm over all parameters that decay, so that a layer which is dead
    does not decide alone.
    """
    pulls: list[np.ndarray] = []
    gradients: list[np.ndarray] = []
    for index, optimizer in enumerate(run.parameters.get("optimizers", ())):
        for number, group in enumerate(optimizer["groups"]):
            if not group.get("weight_decay") or not group["parameters"]:
                continue
            pull, gradient = _pull(run, optimizer["name"], group, group_name(index, number))
            pulls.append(pull)
            gradients.append(gradient)
    steps = min((len(pull) for pull in pulls), default=0)
    if steps == 0:
        return None
    pull = np.sqrt(sum(np.square(part[:steps]) for part in pulls))
    gradient = np.sqrt(sum(np.square(part[:steps]) for part in gradients))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: np.ndarray = np.where(pull > 0, pull / gradient, 0.0)
    return ratio


def pull_at_start(subject: Subject) -> float:
    """The same ratio at the first weights, measured on copies: |step with decay - step without| / |step without|.

    This does not depend on the loop: gradients that are never cleared grow, and hide the pull from `strongest_decay`.

    Returns:
        0 where no experiment is allowed or possible.
    """
    training = subject.training
    if subject.seconds <= 0 or not training.optimizers:
        return 0.0
    try:
        start = initial_state(training, subject.run)
        batches = BatchSource(training.data).mixed(1)
        steps: list[torch.Tensor] = []
        for decays in (True, False):
            with isolated(training, start=start) as copied:
                if not decays:
                    set_option(copied, "weight_decay", 0.0)
                before = torch.nn.utils.parameters_to_vector(copied.model.parameters()).detach().clone()
                train(copied, batches, steps=1)
                steps.append(torch.nn.utils.parameters_to_vector(copied.model.parameters()).detach() - before)
    except ExperimentError:
        return 0.0
    pulled, driven = (steps[0] - steps[1]).norm(), steps[1].norm()
    return float(pulled / driven) if driven > 0 and torch.isfinite(pulled) else 0.0


def usual(ratio: np.ndarray) -> float:
    """Median over the first measured steps or over all, whichever is larger.

    Weight decay that rules has done its work after some steps: what is left of the weights and the gradient then
    balance each other, and only the beginning shows what happened.
    """
    finite = np.nan_to_num(ratio, nan=0.0, posinf=1e9)
    return float(max(np.median(finite[:_FIRST]), np.median(finite)))


def _pull(run: Run, optimizer: str, group: Mapping[str, Any], source: str) -> tuple[np.ndarray, np.ndarray]:
    """Norms of the pull and of what the data ask for, at the steps that were measured in full."""
    weights = _norm(run, "weight_norm", group["parameters"])
    if not _is_decoupled(optimizer, group):
        gradients = _norm(run, "gradient_norm", group["parameters"])
        steps = min(len(weights), len(gradients))
        return float(group["weight_decay"]) * weights[:steps], gradients[:steps]
    updates = _norm(run, "update_norm", group["parameters"])
    steps = min(len(weights), len(updates))
    pull = _rates(run, source, group["parameters"], steps) * float(group["weight_decay"]) * weights[:steps]
    return pull, np.sqrt(np.maximum(updates[:steps] ** 2 - pull**2, (1e-3 * pull) ** 2))


def _rates(run: Run, source: str, names: Sequence[str], steps: int) -> np.ndarray:
    """The learning rate at each measured step; it is recorded when it changes."""
    rates = run.series("learning_rate", source)
    measured = next((s for s in (run.series("update_norm", name).steps for name in names) if len(s)), np.zeros(0))
    if not len(rates):
        return np.zeros(steps)
    known = np.searchsorted(rates.steps, measured[:steps], side="right") - 1
    rate: np.ndarray = rates.values[np.maximum(known, 0)]
    return rate


def _is_decoupled(optimizer: str, group: Mapping[str, Any]) -> bool:
    return optimizer == "AdamW" or bool(group.get("decoupled_weight_decay"))


def _norm(run: Run, quantity: str, names: Sequence[str]) -> np.ndarray:
    series = [run.series(quantity, name).values for name in names]
    steps = min((len(values) for values in series if len(values)), default=0)
    total: np.ndarray = np.sqrt(sum((np.square(v[:steps]) for v in series if len(v)), np.zeros(steps)))
    return total
