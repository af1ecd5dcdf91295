"""A teacher whose softened answers have too little weight: their gradient shrinks with the square of the temperature."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from nn_inspector.checks.answers import Answers, of_call
from nn_inspector.checks.base import Subject
from nn_inspector.checks.race import BADLY, BETTER, WORTH
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Anatomy, BatchSource, Call, Start, TrainingCopy, initial_state, isolated, train
from nn_inspector.experiments.one_pass import one_pass
from nn_inspector.history import Trial

DROWNED = 1.0
"""At the first weights the gradient of the soft part is less than this share of that of the rest."""

WARM = 1.5
"""From this temperature on its square matters."""

_STEPS = 600
_PARTS = 8
_BATCHES = 100
_VALIDATION_BATCHES = 20
_TIME = 0.9
_SOFT = {F.kl_div: "kl_div", F.cross_entropy: "cross_entropy"}


@dataclass(frozen=True, slots=True)
class ColdTeacher:
    """A soft part that is drowned, and what its missing factor does.

    Attributes:
        temperature: by which both scores are divided.
        share: of the gradient of the rest of the loss that its gradient has at the first weights.
        now: what the user's network has left to learn of the validation data, see `Answers.unlearned`.
        trial: the same of short trainings without the factor and with it.
    """

    temperature: float
    share: float
    now: float
    trial: Trial

    @property
    def badly(self) -> bool:
        """Whether the training did badly without the factor."""
        return min(self.now, self.trial.without[-1]) > BADLY


def cold_teacher(subject: Subject) -> ColdTeacher | None:
    """Whether a loss of hard labels and of a teacher's softened answers lacks the square of the temperature, judged by validation data.

    The labels of the training data may be wrong, which is why there is a teacher; those of the validation data tell.

    Returns:
        None where there is no such loss, no validation data, the soft part has its factor or is not drowned, and where a copy
        with the factor does not leave far less to learn.
    """
    training = subject.training
    if subject.seconds <= 0 or not subject.run.steps or not training.optimizers or training.val_loader is None:
        return None
    try:
        temperature = temperature_of(subject.anatomy())
        share = _share(subject) if temperature is not None else math.inf
        return _tried(subject, temperature, share) if temperature is not None and share < DROWNED else None
    except ExperimentError:
        return None


def _tried(subject: Subject, temperature: float, share: float) -> ColdTeacher | None:
    until = time.monotonic() + _TIME * subject.seconds
    judges = BatchSource(subject.training.val_loader, seconds=5.0).as_loaded(_VALIDATION_BATCHES)
    with isolated(subject.training, start=Start()) as copied:
        now = _left(copied, judges)
    if now < WORTH:
        return None
    batches = BatchSource(subject.training.data, seconds=5.0).mixed(_BATCHES)
    plain = _short(subject, None, batches, judges, (time.monotonic() + until) / 2)
    treated = _short(subject, temperature**2, batches, judges, until)
    looks = min(len(plain), len(treated))
    plain, treated = plain[:looks], treated[:looks]
    clearly = treated[-1] < min(BETTER[False] * min(now, plain[-1]), BETTER[True] * min(plain))
    if looks <= _PARTS // 2 or not clearly:
        return None
    measure = "share of the validation left to learn"
    trial = Trial(plain, treated, helped=True, measure=measure, every=_every(subject))
    return ColdTeacher(temperature, share, now, trial)


def temperature_of(seen: Anatomy) -> float | None:
    """The temperature of a teacher's answers, if the loss has one beside hard labels and not its square as a factor."""
    made = {id(call.output): call for call in seen.calls if call.output is not None}
    hard = [call for call in seen.named("cross_entropy", "nll_loss") if not _target(call).is_floating_point()]
    soft = [call for call in seen.named("kl_div", "cross_entropy") if _target(call).is_floating_point()]
    if len(soft) != 1 or not hard:
        return None
    scores = _before(soft[0].inputs[0], made, "log_softmax") if soft[0].name == "kl_div" else soft[0].inputs[0]
    taught = _before(_target(soft[0]), made, "softmax", "log_softmax")
    if scores is None or taught is None:
        return None
    warm, same = _divided_by(scores, made), _divided_by(taught, made)
    if warm is None or same is None or not math.isclose(warm, same, rel_tol=1e-3) or warm < WARM:
        return None
    factors = _factors(soft[0], seen.calls)
    squared = any(math.isclose(one, warm**2, rel_tol=1e-3) for one in factors)
    twice = sum(math.isclose(one, warm, rel_tol=1e-3) for one in factors) > 1
    return None if squared or twice or math.prod(factors) > 1 else warm


def _target(call: Call) -> torch.Tensor:
    return call.inputs[1] if len(call.inputs) > 1 else torch.empty(0, dtype=torch.long)


def _before(made_of: torch.Tensor, made: dict[int, Call], *names: str) -> torch.Tensor | None:
    call = made.get(id(made_of))
    while call is not None and call.name in ("detach", "clone") and call.inputs:
        call = made.get(id(call.inputs[0]))
    return call.inputs[0] if call is not None and call.name in names and call.inputs else None


def _divided_by(scores: torch.Tensor, made: dict[int, Call]) -> float | None:
    """By what these scores were divided; None if by nothing."""
    call = made.get(id(scores))
    if call is None or call.name not in ("div", "truediv", "mul") or call.output is None or not call.inputs:
        return None
    before, after = float(call.inputs[0].detach().abs().sum()), float(call.output.detach().abs().sum())
    return before / after if after > 0 else None


def _factors(call: Call, calls: Sequence[Call]) -> list[float]:
    """The numbers that what a call returned is multiplied with, one after the other."""
    value, found = call.output, []
    place = next(place for place, one in enumerate(calls) if one is call)
    for later in calls[place + 1 :]:
        if later.name in ("mul", "div", "truediv") and any(one is value for one in later.inputs):
            before, after = (float(one.detach().float().sum()) for one in (value, later.output) if one is not None)
            found.append(after / before if before else 1.0)
            value = later.output
    return found


class _Warmed(TorchFunctionMode):
    """Multiplies what is compared with a teacher's answers."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self._factor = factor

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func not in _SOFT:
            return result
        target = args[1] if len(args) > 1 else (kwargs or {}).get("target")
        soft = isinstance(target, torch.Tensor) and target.is_floating_point()
        return result * self._factor if soft else result


def _warm(copied: TrainingCopy, factor: float) -> None:
    """From now on the copy's loss has the soft part so many times."""

    def warmed(batch: Any) -> torch.Tensor:
        copied.instead = None
        try:
            with _Warmed(factor):
                return copied.loss(batch)
        finally:
            copied.instead = warmed

    copied.instead = warmed


def _share(subject: Subject) -> float:
    """The gradient of the soft part against that of the rest, at the first weights."""
    found = []
    for factor in (1.0, 0.0):
        with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
            copied.model.eval()
            _warm(copied, factor)
            parameters = [one for one in copied.model.parameters() if one.requires_grad]
            loss = copied.loss(subject.batches()[0])
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            found.append(torch.cat([one.flatten() for one in gradients if one is not None]))
    whole, rest = found
    if whole.shape != rest.shape or not float(rest.norm()):
        return math.inf
    return float((whole - rest).norm() / rest.norm())


def _left(copied: TrainingCopy, judges: Sequence[Any]) -> float:
    """What is left to learn of the hard labels."""
    instead, copied.instead = copied.instead, None
    try:
        calls = [call for batch in judges for call in one_pass(copied, batch).calls]
    finally:
        copied.instead = instead
    hard = [call for call in calls if isinstance(call.target, torch.Tensor) and not call.target.is_floating_point()]
    found = [one for one in map(of_call, hard) if one is not None]
    left = Answers.together(found).unlearned if found else None
    if left is None:
        raise ExperimentError("It is not known what the network should answer.")
    return left


def _short(
    subject: Subject, factor: float | None, batches: Sequence[Any], judges: Sequence[Any], until: float
) -> list[float]:
    every = _every(subject)
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        if factor is not None:
            _warm(copied, factor)
        left = [_left(copied, judges)]
        for part in range(_PARTS):
            train(
                copied,
                [batches[(part * every + step) % len(batches)] for step in range(every)],
                steps=every,
                deadline=until,
            )
            if time.monotonic() > until:
                break
            left.append(_left(copied, judges))
    return left


def _every(subject: Subject) -> int:
    return max(min(subject.run.steps, _STEPS) // _PARTS, 1)
