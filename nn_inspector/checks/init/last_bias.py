"""The bias of the last layer, and where it should begin for what is to be predicted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Anatomy, TrainingCopy, initial_state, isolated, take_apart
from nn_inspector.probes import LossCall
from nn_inspector.probes.origin import origin

Kind = Literal["classes", "yes or no", "numbers"]

_BATCHES = 8
_NUMBERS = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
_RAREST = 1e-3


@dataclass(frozen=True, slots=True)
class LastBias:
    """The last bias and what it should be.

    Attributes:
        name: of the parameter.
        kind: of what is predicted.
        now: at the first weights.
        wanted: the mean of the targets, taken for what the rest of the network gives; the logarithms of the classes'
            shares; the log-odds of yes.
        off: how far it begins away from a prediction that knows the frequencies: for numbers, of the mean of the
            predictions from that of the targets, in standard deviations of the targets; else how much more the even
            answer costs than the frequent one, in nats for each answer.
    """

    name: str
    kind: Kind
    now: torch.Tensor
    wanted: torch.Tensor
    off: float

    def set_in(self, copied: TrainingCopy) -> None:
        """Let a copy begin with the wanted bias."""
        with torch.no_grad():
            bias = copied.model.get_parameter(self.name)
            bias.copy_(self.wanted.to(bias))


def last_bias(subject: Subject) -> LastBias:
    """The last bias at the first weights; looked at once for all checks.

    Raises:
        ExperimentError: there is none, or it is not known what it should be.
    """
    found: LastBias = subject.once("last bias", lambda: _look(subject))
    return found


def _look(subject: Subject) -> LastBias:
    if subject.seconds <= 0:
        raise ExperimentError("This check makes an experiment, and there is no time left for one.")
    seen = subject.anatomy("initial", training=False)
    if len(seen.loss_calls) != 1:
        raise ExperimentError("The loss is not what one loss function of torch's returned.")
    kind = _kind(seen.loss_calls[0])
    name = _last_bias_name(seen, seen.loss_calls[0])
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        passes = [take_apart(copied, batch, training=False, backward=False) for batch in subject.batches(_BATCHES)]
        now = copied.model.get_parameter(name).detach().clone()
    calls = [one.loss_calls[0] for one in passes if len(one.loss_calls) == 1]
    prediction = torch.cat([_rows(call.prediction) for call in calls])
    target = torch.cat([_targets(call, kind) for call in calls])
    if prediction.shape[1] != len(now):
        raise ExperimentError("The last layer's bias is not one number for each output.")
    if kind == "numbers":
        spread = target.std(0, correction=0)
        gap = target.mean(0) - prediction.mean(0)
        off = float((gap.abs() / spread.clamp(min=1e-12))[spread > 0].max()) if bool((spread > 0).any()) else 0.0
        return LastBias(name, kind, now, now + gap.to(now), off)
    share = target.mean(0).clamp(_RAREST, 1 - _RAREST)
    if kind == "classes":
        share = share / share.sum()
        off = math.log(len(share)) + float((share * share.log()).sum())
        return LastBias(name, kind, now, share.log(), off)
    entropy = -(share * share.log() + (1 - share) * (1 - share).log())
    return LastBias(name, kind, now, share.logit(), math.log(2) - float(entropy.mean()))


def _kind(call: LossCall) -> Kind:
    plain = call.options.get("weight") is None and call.options.get("pos_weight") is None
    if call.name == "cross_entropy" and plain and call.prediction.dim() == 2:
        return "classes"
    if call.name.startswith("binary_cross_entropy") and plain and call.prediction.shape == call.target.shape:
        return "yes or no"
    if call.name in _NUMBERS and call.prediction.shape == call.target.shape:
        return "numbers"
    raise ExperimentError(
        "What the last bias should be is known for plain losses of classes, answers and numbers only."
    )


def _last_bias_name(seen: Anatomy, call: LossCall) -> str:
    made = origin(call.prediction)
    wanted = ["sigmoid", "linear"] if call.name == "binary_cross_entropy" else ["linear"]
    layers = [run for run in seen.leaves if isinstance(run.module, nn.Linear)]
    if made != wanted or not layers or layers[-1].module.bias is None:
        raise ExperimentError("The prediction does not come straight from a linear layer with a bias.")
    return f"{layers[-1].name}.bias" if layers[-1].name else "bias"


def _rows(prediction: torch.Tensor) -> torch.Tensor:
    prediction = prediction.detach().float()
    return prediction.reshape(-1, prediction.shape[-1]) if prediction.dim() > 1 else prediction.reshape(-1, 1)


def _targets(call: LossCall, kind: Kind) -> torch.Tensor:
    if kind != "classes" or call.target.is_floating_point():
        return _rows(call.target)
    counted = call.target[call.target != call.options.get("ignore_index", -100)]
    return torch.nn.functional.one_hot(counted, call.prediction.shape[1]).float()
