"""How the predictions of a training are judged, read from the trace of its first steps or from one pass of a copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.checks.judging.path import JUDGES, Judge, Operation, by_hand, operations
from nn_inspector.checks.judging.targets import Targets, loader_targets, of_facts, of_tensor
from nn_inspector.errors import InspectorError
from nn_inspector.history import Run
from nn_inspector.probes import TraceEntry
from nn_inspector.probes.loss_numbers import loss_numbers

_STEPS = 3
"""So many first steps are traced closely."""


@dataclass(frozen=True, slots=True)
class Judged:
    """How one prediction is judged.

    Attributes:
        judge: what the loss takes it for.
        loss: name of the loss function in torch.nn.functional; "" for one that is written by hand.
        path: from the loss back to the last layer; empty where that is not known.
        prediction: shape of what the loss function is given; () for a loss that is written by hand.
        low, high: the least and the greatest value of the prediction, if known.
        rows_sum: how far the rows of the prediction are from a sum of 1 at most, if known.
        sums: the axes along which the prediction, or what it holds the logarithms of, adds up to 1, if known.
        targets: what it is compared with, if that is known.
        options: of the loss function.
        before: of a loss by hand, the operations behind `path`, the last one first.
        functions: what else the loop called on it, between the model and backward(): facts of the trace.
    """

    judge: Judge
    loss: str
    path: tuple[Operation, ...]
    prediction: tuple[int, ...] = ()
    low: float | None = None
    high: float | None = None
    rows_sum: float | None = None
    sums: tuple[int, ...] | None = None
    targets: Targets | None = None
    options: Mapping[str, Any] | None = None
    before: tuple[str, ...] = ()
    functions: tuple[Mapping[str, Any], ...] = ()

    @property
    def last(self) -> str:
        """Name of the operation that made the prediction; "" where it is not known."""
        return self.path[0].name if self.path else ""

    @property
    def name(self) -> str:
        """The loss as a person calls it."""
        return f"F.{self.loss}" if self.loss else "the loss that you write by hand"


def judged(subject: Subject) -> list[Judged]:
    """How the predictions of a training are judged, one for each call of a loss function in a step.

    Raises:
        InspectorError: nothing of it can be known.
    """
    found: list[Judged] = subject.once(("judged",), lambda: _judged(subject))
    return found


def _judged(subject: Subject) -> list[Judged]:
    known = loader_targets(subject)
    found = list(_of_trace(subject.run, known))
    if not found:
        found = list(_of_pass(subject, known))
    if not found:
        raise InspectorError(
            "How the loss is computed was not seen. Run your training loop for a few steps, then look again."
        )
    return found


def _of_trace(run: Run, known: torch.Tensor | None) -> Iterator[Judged]:
    steps: dict[int, list[TraceEntry]] = {}
    for entry in list(run.trace):
        if entry.facts.get("phase", "train") == "train" and entry.step < 2 * _STEPS:
            steps.setdefault(entry.step, []).append(entry)
    calls = [[entry for entry in entries if "prediction_origin" in entry.facts] for entries in steps.values()]
    functions = [tuple(entry.facts for entry in entries if entry.call == "function") for entries in steps.values()]
    first = next((place for place, found in enumerate(calls) if found), None)
    if first is not None:
        for place, entry in enumerate(calls[first]):
            alike = [
                found[place].facts
                for found in calls
                if len(found) == len(calls[first]) and found[place].call == entry.call
            ]
            yield _of_call(entry.call, alike, functions[first], known)
        return
    for entries, others in zip(steps.values(), functions, strict=True):
        origins = [entry.facts.get("origin") for entry in entries if entry.call == "backward"]
        if len(origins) == 1 and isinstance(origins[0], list) and origins[0]:
            objective = operations([str(one) for one in origins[0]])
            judge, path = by_hand(objective)
            before = tuple(one.name for one in objective[: len(objective) - len(path)])
            if judge == "numbers" and not any(_compares(fact) for fact in others):
                judge = "other"
            targets = of_tensor(known, _items(others)) if known is not None and _meets(known, others) else None
            yield Judged(judge, "", path, targets=targets, before=before, functions=others)
            return


def _of_call(
    name: str, facts: Sequence[Mapping[str, Any]], functions: tuple[Mapping[str, Any], ...], known: torch.Tensor | None
) -> Judged:
    lows = [fact["prediction_low"] for fact in facts if fact.get("prediction_low") is not None]
    highs = [fact["prediction_high"] for fact in facts if fact.get("prediction_high") is not None]
    sums = [fact["rows_sum_off"] for fact in facts if fact.get("rows_sum_off") is not None]
    return Judged(
        JUDGES.get(name, "other"),
        name,
        operations(facts[0]["prediction_origin"]),
        tuple(facts[0]["prediction_shape"]),
        min(lows, default=None),
        max(highs, default=None),
        max(sums, default=None),
        _sums(facts),
        of_facts(facts, known),
        facts[0],
        functions=functions,
    )


def _of_pass(subject: Subject, known: torch.Tensor | None) -> Iterator[Judged]:
    """From a copy, before the first step."""
    for call in subject.anatomy().loss_calls:
        if isinstance(call.prediction, torch.Tensor) and isinstance(call.target, torch.Tensor):
            facts: dict[str, Any] = {**call.facts(), **loss_numbers(call)}
            yield _of_call(call.name, [facts], (), known)


def _sums(facts: Sequence[Mapping[str, Any]]) -> tuple[int, ...] | None:
    found = [set(fact["sums_to_one"]) for fact in facts if fact.get("sums_to_one") is not None]
    return tuple(sorted(set.intersection(*found))) if found else None


def _meets(known: torch.Tensor, functions: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a target of this shape takes part in what the loop computes."""
    shape = tuple(known.shape[1:])
    return any(
        "target" in of.split("+") and _fits(text, shape)
        for fact in functions
        for of, text in zip(fact["of"], fact["shapes"], strict=True)
    )


def _compares(fact: Mapping[str, Any]) -> bool:
    """Whether a prediction and a target are taken from each other, not two predictions."""
    made_of = [set(of.split("+")) for of in fact["of"]]
    if fact["name"] not in ("sub", "rsub") or len(made_of) != 2:
        return False
    return any("prediction" in one and "target" in other - {"prediction"} for one, other in (made_of, made_of[::-1]))


def _fits(text: str, shape: tuple[int, ...]) -> bool:
    sizes = sizes_of(text)
    bare = [size for size in sizes[1:] if size != 1]
    return bool(sizes) and bare == [size for size in shape if size != 1]


def _items(functions: Sequence[Mapping[str, Any]]) -> int:
    for fact in functions:
        for of, text in zip(fact["of"], fact["shapes"], strict=True):
            if "target" in of.split("+") and sizes_of(text):
                return sizes_of(text)[0]
    return 1


def sizes_of(text: str) -> list[int]:
    """A shape that the trace wrote as a text.

    Example:
        >>> sizes_of("16x1"), sizes_of("scalar")
        ([16, 1], [])
    """
    return [] if text == "scalar" else [int(size) for size in text.split("x")]
