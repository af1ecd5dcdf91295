"""normalization: does normalization help the network, or take something away from it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.model.each_by_itself import each_by_itself, measured_in_the_loop
from nn_inspector.checks.model.norms import (
    Norm,
    busy_loss,
    count_anew,
    far,
    group_norm_instead,
    hasty_norms,
    norms_of,
    nothing_instead,
    quietly,
)
from nn_inspector.checks.model.own_scale import OwnScale, own_scales
from nn_inspector.checks.model.own_statistics import own_statistics
from nn_inspector.checks.race import race
from nn_inspector.checks.symptoms import ALL_SYMPTOMS
from nn_inspector.checks.train.levels import Judgement, loss_levels
from nn_inspector.checks.train.standing import MOST_OF_IT, NOTHING
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
        "items in a batch they are noise. If the remembered ones are not up to date, or those of the last batch only, or "
        "dropout before it makes them wrong, the network is good in training and useless in use. And a normalization of each "
        "input takes its level away, which may be what tells the answer."
    ),
    how=(
        "Copies are made. If the loss in evaluation mode is far worse than in training mode on the same batches, the "
        "statistics are taken anew, with and without dropout, to see whether that is the reason. A module of your own that keeps "
        "statistics is put into training mode alone, to see the same of it. If a mean is made of "
        "eight numbers or fewer, group normalization is tried instead. A normalization of the raw input, of the output, or "
        "over several axes is left out on trial, and so is what gives each item a level or a size of its own, in a layer or by "
        "hand; the same copy on items of one size shows whether it is their size that counts."
    ),
    remedy="Use larger batches, or torch.nn.GroupNorm or LayerNorm, and put dropout behind the last normalization.",
    sources=(
        "Ioffe and Szegedy, Batch Normalization (2015)",
        "Wu and He, Group Normalization (2018)",
        "Li and others, Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift (2019)",
    ),
    explains=(
        *ALL_SYMPTOMS, "generalization_gap", "metric_match", "batch_size", "label_alignment", "regularization_sweep",
        "layer_order", "capacity", "input_scale",
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
_TORCHS = "Take torch's own momentum of 0.1: it is the share of the new batch, where other frameworks give that of the old ones."
_MOMENTUM = (
    "torch.nn.BatchNorm1d(features, momentum=0.1)  # the momentum=0.9 of other frameworks; their 0.99 is 0.01 here"
)
_ORDER = """\
block = torch.nn.Sequential(
    torch.nn.Linear(inputs, 64), torch.nn.BatchNorm1d(64), torch.nn.ReLU(),
    torch.nn.Dropout(0.2),  # behind the normalization; best only before the last layer
)"""


def look(subject: Subject) -> Finding:
    """Look at the normalizations, and try without what is unusual about them."""
    seen = subject.anatomy("initial")
    norms, own = norms_of(seen), own_scales(seen)
    apart = _modes_apart(subject, norms) if subject.run.steps >= ENOUGH_STEPS else None
    if apart is not None:
        return apart
    if not norms and not own:
        return measured_in_the_loop(subject, INFO) or finding(INFO, "ok", "There is no normalization in this network.")
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
    without = _without_the_odd(subject, odd) if odd else None
    if without is not None and without.raised:
        return without
    taken = measured_in_the_loop(subject, INFO) or each_by_itself(subject, INFO, seen)
    return taken or without or _harmless(norms, own, hasty_norms(subject.training.model))


def _without_the_odd(subject: Subject, odd: Sequence[Norm]) -> Finding:
    better = f"Leave this normalization out: {', '.join(norm.where for norm in odd[:3])}."
    said = f"{odd[0].where} is out of the usual: {odd[0].odd}"
    changes = {norm.spot: nothing_instead for norm in odd}
    return _instead(subject, odd, said, changes, Remedy(better, f"# remove {odd[0].where} from the model"))


def _harmless(norms: Sequence[Norm], own: Sequence[OwnScale], hasty: Mapping[str, float]) -> Finding:
    if hasty:
        said = f"No harm was seen, but {_hastiness(hasty)}."
        return finding(INFO, "info", said, remedy=Remedy(_TORCHS, _MOMENTUM), where=next(iter(hasty)))
    return finding(INFO, "ok", f"It looks so: nothing is unusual about {max(len(norms), len(own))} normalizations.")


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


def _modes_apart(subject: Subject, norms: Sequence[Norm]) -> Finding | None:
    """Whether the network is useless in evaluation mode, and only because of the statistics that it remembers."""
    own = own_statistics(subject, INFO)
    levels = loss_levels(subject) if own is None and any(norm.values for norm in norms) else None
    if levels is None:
        return own
    batches = subject.batches()
    with isolated(subject.training) as copied:
        busy, quiet = busy_loss(copied, batches), quietly(copied, batches)
    hasty = hasty_norms(subject.training.model)  # in training mode small batches are noisy themselves
    if not hasty and not far(levels, Judgement(busy, None), quiet):
        return None
    for dropout in (True, False):
        anew = _counted_anew(subject, batches, dropout=dropout)
        if far(levels, anew, quiet):
            whole = levels.progress(quiet.loss) <= NOTHING and levels.progress(anew.loss) >= MOST_OF_IT
            severity: Severity = "error" if whole else "warning"
            losses = {"training_mode": busy, "evaluation_mode": quiet.loss, "taken_anew": anew.loss}
            return (
                _hurried(subject, losses, hasty, severity)
                if hasty and dropout
                else _apart(losses, severity, dropout=dropout)
            )
    return None


def _counted_anew(subject: Subject, batches: Sequence[Any], *, dropout: bool) -> Judgement:
    with isolated(subject.training) as copied:
        count_anew(copied, batches, dropout=dropout)
        copied.model.eval()
        return quietly(_in_evaluation(copied), batches)


def _in_evaluation(copied: TrainingCopy) -> TrainingCopy:
    for module in copied.model.modules():
        module.training = False
    return copied


def _apart(losses: Mapping[str, float], severity: Severity, *, dropout: bool) -> Finding:
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
    message = _told(losses, reason, how)
    return finding(INFO, severity, message, evidence={**losses}, remedy=better, basis="experiment")


def _hurried(subject: Subject, losses: Mapping[str, float], hasty: Mapping[str, float], severity: Severity) -> Finding:
    """What is remembered is the last batch: a momentum that another framework means the other way round."""

    def slower(copied: TrainingCopy) -> None:
        for name in hasty:
            copied.model.get_submodule(name).momentum = 0.1  # type: ignore[assignment]

    tried = race(subject, slower)
    trial = tried.trial if tried is not None and tried.severity != "info" else None
    message = _told(losses, _hastiness(hasty), "of all batches")
    evidence = {**losses, "momentum": max(hasty.values())}
    remedy, where = Remedy(_TORCHS, _MOMENTUM, trial), next(iter(hasty))
    return finding(INFO, severity, message, evidence=evidence, remedy=remedy, where=where, basis="experiment")


def _hastiness(hasty: Mapping[str, float]) -> str:
    name, momentum = next(iter(hasty.items()))
    others = f" and {len(hasty) - 1} more" if len(hasty) > 1 else ""
    return f"normalization {name}{others}, with momentum={momentum:g}, remember{'' if others else 's'} little but the last batch"


def _told(losses: Mapping[str, float], reason: str, how: str) -> str:
    return (
        f"It takes something away: on the same batches the loss is {losses['training_mode']:.3g} in training mode and "
        f"{losses['evaluation_mode']:.3g} in evaluation mode, because {reason}. With statistics {how} it is "
        f"{losses['taken_anew']:.3g} in evaluation mode."
    )


CHECK = Check(INFO, look, trial_chart)
