"""normalization: does normalization help the network, or take something away from it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.model.norms import (
    Norm,
    busy_loss,
    count_anew,
    group_norm_instead,
    norms_of,
    nothing_instead,
    quiet_loss,
)
from nn_inspector.checks.race import race
from nn_inspector.checks.symptoms import ALL_SYMPTOMS
from nn_inspector.checks.train.levels import loss_levels
from nn_inspector.checks.train.standing import MOST_OF_IT, MUCH, NOTHING, POOR
from nn_inspector.experiments import TrainingCopy, isolated
from nn_inspector.experiments.rewiring import Replacement, Spot, rewire
from nn_inspector.history import Finding, Remedy, Severity

INFO = CheckInfo(
    name="normalization",
    stage="model",
    kind="active",
    question="Does normalization help the network, or take something away from it?",
    why=(
        "Batch normalization takes mean and spread from the batch in training, and remembered ones afterwards. With two "
        "items in a batch they are noise. If the remembered ones are not up to date, or dropout before it makes them wrong, "
        "the network is good in training and useless in use. And a normalization of each input takes its level away, "
        "which may be what tells the answer."
    ),
    how=(
        "Copies are made. If the loss in evaluation mode is far worse than in training mode on the same batches, the "
        "statistics are taken anew, with and without dropout, to see whether that is the reason. If a mean is made of "
        "eight numbers or fewer, group normalization is tried instead. A normalization of the raw input, of the output, or "
        "over several axes is left out on trial."
    ),
    remedy="Use larger batches, or torch.nn.GroupNorm or LayerNorm, and put dropout behind the last normalization.",
    sources=(
        "Ioffe and Szegedy, Batch Normalization (2015)",
        "Wu and He, Group Normalization (2018)",
        "Li and others, Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift (2019)",
    ),
    explains=(
        *ALL_SYMPTOMS, "generalization_gap", "metric_match", "batch_size", "label_alignment", "regularization_sweep",
        "layer_order", "capacity",
    ),
)  # fmt: skip

TINY = 8
"""A mean of so few numbers is off by a third of the spread."""

ENOUGH_STEPS = 50
"""Earlier, remembered statistics with the usual momentum of 0.1 have no need to be right."""

_STEPS = 1200
"""With two items in a batch an epoch has many steps."""

_GROUPS = "torch.nn.GroupNorm(1, channels)  # in place of torch.nn.BatchNorm1d(channels) or BatchNorm2d(channels)"
_ANEW = """\
for module in model.modules():
    if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
        module.momentum = 0.1  # not 0
        module.reset_running_stats()
model.train()
with torch.no_grad():
    for x, y in train_loader:
        model(x)  # takes the statistics anew"""
_ORDER = """\
block = torch.nn.Sequential(
    torch.nn.Linear(inputs, 64), torch.nn.BatchNorm1d(64), torch.nn.ReLU(),
    torch.nn.Dropout(0.2),  # behind the normalization; best only before the last layer
)"""


def look(subject: Subject) -> Finding:
    """Look at the normalizations, and try without what is unusual about them."""
    norms = norms_of(subject.anatomy("initial"))
    if not norms:
        return finding(INFO, "ok", "There is no normalization in this network.")
    if any(norm.values for norm in norms):
        apart = _modes_apart(subject)
        if apart is not None:
            return apart
    tiny = [norm for norm in norms if 0 < norm.values <= TINY]
    if tiny:
        said = f"batch normalization takes each mean of {tiny[0].values} numbers only, which is little more than noise"
        better = "Use batches of 16 items or more, or group or layer normalization, which look at one item at a time."
        changes = {norm.spot: group_norm_instead for norm in tiny}
        return _instead(subject, tiny, said, changes, Remedy(better, _GROUPS))
    dropped = [norm for norm in norms if norm.dropout is not None]
    if dropped:
        said = f"dropout stands right before {dropped[0].where}, which then remembers spreads that are wrong without dropout"
        changes = {norm.dropout: nothing_instead for norm in dropped if norm.dropout is not None}
        return _instead(subject, dropped, said, changes, Remedy("Put dropout behind the last normalization.", _ORDER))
    odd = [norm for norm in norms if norm.odd is not None]
    if odd:
        better = f"Leave this normalization out: {', '.join(norm.where for norm in odd[:3])}."
        said = f"{odd[0].where} is out of the usual: {odd[0].odd}"
        changes = {norm.spot: nothing_instead for norm in odd}
        return _instead(subject, odd, said, changes, Remedy(better, f"# remove {odd[0].where} from the model"))
    return finding(INFO, "ok", f"It looks so: nothing is unusual about {len(norms)} normalizations.")


def _instead(
    subject: Subject, norms: Sequence[Norm], said: str, changes: Mapping[Spot, Replacement], remedy: Remedy
) -> Finding:
    tried = race(subject, lambda copied: rewire(copied.model, changes), most=_STEPS)
    where = norms[0].where
    if tried is None or tried.severity == "info":
        return finding(INFO, "info", f"{said[0].upper()}{said[1:]}. But no harm was seen.", remedy=remedy, where=where)
    remedy = Remedy(remedy.text, remedy.code, tried.trial)
    message = f"It takes something away: {said}. {tried.text}"
    return finding(INFO, tried.severity, message, remedy=remedy, where=where, basis="experiment")


def _modes_apart(subject: Subject) -> Finding | None:
    """Whether the network is useless in evaluation mode, and only because of the statistics that it remembers."""
    levels, steps = loss_levels(subject), subject.run.steps
    if levels is None or steps < ENOUGH_STEPS:
        return None
    batches = subject.batches()
    with isolated(subject.training) as copied:
        busy, quiet = busy_loss(copied, batches), quiet_loss(copied, batches)
    if not _far(levels.progress(busy), levels.progress(quiet)):
        return None
    for dropout in (True, False):
        anew = _counted_anew(subject, batches, dropout=dropout)
        if _far(levels.progress(anew), levels.progress(quiet)):
            whole = levels.progress(quiet) <= NOTHING and levels.progress(anew) >= MOST_OF_IT
            return _apart(busy, quiet, anew, dropout=dropout, severity="error" if whole else "warning")
    return None


def _counted_anew(subject: Subject, batches: Sequence[Any], *, dropout: bool) -> float:
    with isolated(subject.training) as copied:
        count_anew(copied, batches, dropout=dropout)
        copied.model.eval()
        return quiet_loss(_in_evaluation(copied), batches)


def _in_evaluation(copied: TrainingCopy) -> TrainingCopy:
    for module in copied.model.modules():
        module.training = False
    return copied


def _apart(busy: float, quiet: float, anew: float, *, dropout: bool, severity: Severity) -> Finding:
    evidence = {"training_mode": busy, "evaluation_mode": quiet, "taken_anew": anew}
    if dropout:
        reason, better = "the means and spreads that batch normalization remembers are not those of the data", Remedy(
            "Let batch normalization take its statistics in training mode, with its usual momentum of 0.1.", _ANEW
        )  # fmt: skip
        how = "taken anew"
    else:
        reason, better = "dropout before batch normalization makes it remember spreads that are wrong without dropout", Remedy(
            "Put dropout behind the last normalization.", _ORDER
        )  # fmt: skip
        how = "taken without dropout"
    message = (
        f"It takes something away: on the same batches the loss is {busy:.3g} in training mode and {quiet:.3g} in "
        f"evaluation mode, because {reason}. With statistics {how} it is {anew:.3g} in evaluation mode."
    )
    return finding(INFO, severity, message, evidence=evidence, remedy=better, basis="experiment")


def _far(good: float, bad: float) -> bool:
    """Whether one is so much further on the way from chance to the least possible loss that the other has missed it."""
    return good >= MUCH and bad <= good - MUCH and bad <= POOR * good


CHECK = Check(INFO, look, trial_chart)
