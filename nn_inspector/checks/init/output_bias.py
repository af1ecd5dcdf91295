"""output_bias: does the last bias begin where the answers are?"""

from __future__ import annotations

from collections.abc import Mapping

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.init.last_bias import Kind, LastBias, last_bias
from nn_inspector.checks.race import race
from nn_inspector.history import Finding, Remedy

INFO = CheckInfo(
    name="output_bias",
    stage="init",
    kind="active",
    question="Does the last bias begin where the answers are?",
    why=(
        "Before it has learned anything, a network should answer what is usual: the mean of the targets, or each class as "
        "often as it comes. If house prices are around 200 and its answers around 0, or if one item in a hundred is a yes "
        "and it says fifty, its first steps go into learning that, and the loss shows a hockey stick."
    ),
    how=(
        "At the first weights the mean of the predictions is held against that of the targets, or the classes' frequencies "
        "against even ones. Where they are far apart, a copy begins with the bias set. It is more than a remark only if "
        "that learns far more in a few steps than your whole training did."
    ),
    remedy="Set the last bias to the mean of the targets, or to the logarithm of the classes' shares.",
    sources=(
        "Karpathy, A Recipe for Training Neural Networks (2019): init well",
        "Lin and others, Focal Loss for Dense Object Detection (2017), section 4.1: prior of rare classes",
    ),
    explains=("initial_loss", "steep_then_flat", "slow_learning", "constant_predictions"),
)

FAR: Mapping[Kind, float] = {"numbers": 2.0, "classes": 0.5, "yes or no": 0.3}
"""From here on a bias is worth a trial: standard deviations of the targets, or nats that the frequencies are worth. One
answer in ten is worth 0.37 nats, one in a hundred 0.64."""

_MEAN = """\
y = torch.cat([batch[-1] for batch in train_loader]).float()
with torch.no_grad():
    last_layer.bias.copy_(y.mean(0))  # what the last layer is called in your model"""

_SHARES = """\
labels = torch.cat([batch[-1] for batch in train_loader])
shares = torch.bincount(labels, minlength=last_layer.out_features) / len(labels)
with torch.no_grad():
    last_layer.bias.copy_(shares.clamp(min=1e-3).log())  # what the last layer is called in your model"""

_ODDS = """\
shares = torch.cat([batch[-1] for batch in train_loader]).float().mean(0).clamp(1e-3, 1 - 1e-3)
with torch.no_grad():
    last_layer.bias.copy_(shares.logit())  # what the last layer is called in your model"""

_CODE: Mapping[Kind, str] = {"numbers": _MEAN, "classes": _SHARES, "yes or no": _ODDS}


def look(subject: Subject) -> Finding:
    """Hold the last bias against the targets, and let a copy begin with another one if they are far apart."""
    seen = last_bias(subject)
    evidence = {"off": seen.off}
    if seen.off < FAR[seen.kind]:
        return finding(INFO, "ok", f"Yes: {_said(seen)}.", evidence=evidence, where=seen.name)
    tried = race(subject, seen.set_in)
    trial = tried.trial if tried is not None else None
    layer = seen.name.rpartition(".")[0] or "model"
    code = (
        _CODE[seen.kind]
        .replace("  # what the last layer is called in your model", "")
        .replace("last_layer", layer if layer == "model" else f'model.get_submodule("{layer}")')
    )
    remedy = Remedy("Let the last bias begin with what is usual.", code, trial)
    if tried is None or tried.severity == "info":
        message = f"It begins far away: {_said(seen)}. No harm was seen."
        return finding(INFO, "info", message, evidence=evidence, remedy=remedy, where=seen.name)
    return finding(
        INFO,
        tried.severity,
        f"No: {_said(seen)}. {tried.text}",
        evidence=evidence,
        remedy=remedy,
        where=seen.name,
        basis="experiment",
    )


def _said(seen: LastBias) -> str:
    if seen.kind == "numbers":
        return f"the first answers are {seen.off:.2g} standard deviations of the targets away from their mean"
    what = "class" if seen.kind == "classes" else "answer"
    return f"to know how often each {what} comes is worth {seen.off:.2g} nats"


CHECK = Check(INFO, look, trial_chart)
