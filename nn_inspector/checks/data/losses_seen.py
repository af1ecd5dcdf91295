"""What the loss functions of a training are given: read from its first steps, or asked of a copy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from nn_inspector.checks.base import Subject
from nn_inspector.checks.data.losses_by_hand import loss_by_hand
from nn_inspector.errors import ExperimentError, InspectorError
from nn_inspector.experiments import Start, isolated
from nn_inspector.history import Run
from nn_inspector.probes import LossCall, TraceEntry
from nn_inspector.probes.loss_calls import LOSS_FUNCTIONS, loss_call
from nn_inspector.probes.origin import origin

_BATCHES = 8
_NAMES = frozenset(LOSS_FUNCTIONS.values())
_SLACK = 0.25
_POINTS = 200


@dataclass(frozen=True, slots=True)
class Given:
    """What a loss function was given.

    Attributes:
        name: of the function in torch.nn.functional, or one of those in `checks.data.losses_by_hand`.
        prediction, target: their shapes; of a loss that compares two inputs, that of the first and of what it is told of each pair.
        dtype: of the target, such as "int64".
        options: those of the function that are plain values.
        ends: the operation that made the prediction, such as "sigmoid"; "" where it is not known.
        values: targets as they are known, float64 [n]; of shares [n, classes].
        weighted: whether classes or items have weights.
        failed: whether the function refused it.
    """

    name: str
    prediction: tuple[int, ...]
    target: tuple[int, ...]
    dtype: str
    values: torch.Tensor
    options: Mapping[str, Any] = field(default_factory=dict)
    ends: str = ""
    weighted: bool = False
    failed: bool = False

    @property
    def floating(self) -> bool:
        """Whether the target's numbers are real ones."""
        return "float" in self.dtype

    @property
    def low(self) -> float:
        """The least target."""
        return float(self.values.min())

    @property
    def high(self) -> float:
        """The greatest target."""
        return float(self.values.max())


def losses_seen(subject: Subject) -> list[Given]:
    """What the loss functions were given, in the order of their calls; looked at once for all checks.

    What the loop itself has shown comes first: it may change the labels before they get to the loss. A copy is asked for
    more of the same, and for all of it where the loop has not come as far as its loss.

    Raises:
        InspectorError: no loss function is known.
    """
    seen: list[Given] = subject.once("losses seen", lambda: _look(subject))
    return seen


def _look(subject: Subject) -> list[Given]:
    reason: InspectorError | None = None
    asked: list[Given] = []
    try:
        asked = list(_asked(subject))
    except InspectorError as error:
        reason = error
    traced = list(_traced(subject.run)) or list(_by_hand(subject))
    if not traced and not asked:
        raise reason or ExperimentError("No loss function is known that was told what is right.")
    return [_with_more(one, asked) for one in traced] if traced else asked


def _traced(run: Run) -> Iterator[Given]:
    """What the loop called, once for each function and shape of prediction."""
    found: dict[Any, list[Given]] = {}
    for entry in list(run.trace):
        if entry.call in _NAMES and entry.facts.get("phase") != "validation" and "target_low" in entry.facts:
            one = _of_facts(entry)
            found.setdefault((one.name, one.prediction[1:], one.dtype, one.ends), []).append(one)
    for same in found.values():
        yield replace(same[0], values=torch.cat([one.values for one in same]))


def _of_facts(entry: TraceEntry) -> Given:
    facts: dict[str, Any] = dict(entry.facts)
    right = "sign" if "sign_low" in facts else "target"
    plain = ("reduction", "ignore_index", "log_input", "log_target", "label_smoothing", "margin")
    return Given(
        entry.call,
        tuple(facts["prediction_shape"]),
        tuple(facts[f"{right}_shape"]),
        str(facts[f"{right}_dtype"]).removeprefix("torch."),
        _like({name.removeprefix(f"{right}_"): value for name, value in facts.items() if name.startswith(right)}),
        {name: facts[name] for name in plain if name in facts},
        next(iter(facts.get("prediction_origin") or ()), ""),
        bool(facts.get("weighted")),
    )


def _like(facts: Mapping[str, Any]) -> torch.Tensor:
    """A few numbers with the same least, greatest and mean value and, within these, about the same spread."""
    low, high, mean, spread = (float(facts[name]) for name in ("low", "high", "mean", "spread"))
    if facts.get("distinct") == 2 and high > low:
        ones = round(_POINTS * (mean - low) / (high - low))
        return torch.tensor([low] * max(_POINTS - ones, 1) + [high] * max(ones, 1), dtype=torch.float64)
    if facts["dtype"] == "torch.int64":  # between a label that stands for none and the others there may be nothing
        return torch.tensor([low, high], dtype=torch.float64)
    around = [max(low, mean - spread), min(high, mean + spread)]
    around = [round(one) for one in around] if facts.get("whole") else around
    return torch.tensor([low, high, *(around * (_POINTS // 2))], dtype=torch.float64)


class _Asking(TorchFunctionMode):
    """Notes what loss functions are given before they are called: they may refuse it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[LossCall] = []
        self.answered = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func not in LOSS_FUNCTIONS:
            return func(*args, **(kwargs or {}))
        self.calls.append(loss_call(func, args, kwargs or {}, torch.zeros(())))
        result = func(*args, **(kwargs or {}))
        self.answered += 1
        return result


def _asked(subject: Subject) -> Iterator[Given]:
    if subject.seconds <= 0:
        return
    found: dict[int, list[Given]] = {}
    with isolated(subject.training, start=Start()) as copied:
        for batch in subject.batches(_BATCHES):
            mode, failed = _Asking(), False
            try:
                with mode:
                    copied.loss(batch)
            except ExperimentError:
                if not mode.calls:
                    raise
                failed = mode.answered < len(mode.calls)
            for place, call in enumerate(mode.calls):
                if _is_plain(call):
                    refused = failed and place == len(mode.calls) - 1
                    found.setdefault(place, []).append(_of_call(call, refused))
    for same in found.values():
        alike = [one for one in same if one.name == same[0].name and one.values.shape[1:] == same[0].values.shape[1:]]
        values = torch.cat([one.values for one in alike])
        first = next((one for one in alike if one.failed), alike[0])
        yield replace(first, values=values)


def _is_plain(call: LossCall) -> bool:
    tensors = (call.prediction, call.target, call.prediction if call.sign is None else call.sign)
    return all(isinstance(one, torch.Tensor) and one.numel() and not one.is_complex() for one in tensors)


def _of_call(call: LossCall, failed: bool) -> Given:
    right = call.target if call.sign is None else call.sign
    target = right.detach().to("cpu", torch.float64)
    shares = call.name == "cross_entropy" and right.is_floating_point() and target.dim() == 2
    return Given(
        call.name,
        tuple(call.prediction.shape),
        tuple(right.shape),
        str(right.dtype).removeprefix("torch."),
        target if shares else target.flatten(),
        {name: value for name, value in call.options.items() if isinstance(value, bool | int | float | str)},
        next(iter(origin(call.prediction)), ""),
        bool(call.facts()["weighted"]),
        failed,
    )


def _with_more(one: Given, asked: Iterable[Given]) -> Given:
    """With the values of more items, where the copy was seen to be given the same as in the loop."""
    return next((replace(one, values=other.values) for other in asked if _same(one, other)), one)


def _same(one: Given, other: Given) -> bool:
    kinds = [(call.name, call.dtype, len(call.target), call.prediction[1:2]) for call in (one, other)]
    if kinds[0] != kinds[1]:
        return False
    known = torch.stack([one.values.min(), one.values.max()])
    if not one.floating:
        return bool(torch.isin(known, other.values).all())
    width = max(float(known[1] - known[0]), 1e-6)
    return abs(other.low - float(known[0])) <= _SLACK * width and abs(other.high - float(known[1])) <= _SLACK * width


def _by_hand(subject: Subject) -> Iterator[Given]:
    found = loss_by_hand(subject)
    if found is not None and found.labels is not None and found.labels.numel():
        dtype, values = str(found.labels.dtype).removeprefix("torch."), found.labels.to(torch.float64).flatten()
        yield Given(found.name, found.prediction, found.target, dtype, values, ends=found.ends)
