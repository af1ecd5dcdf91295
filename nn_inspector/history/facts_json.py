"""Facts of a run as JSON text, and back with every type checked: the text may come from a stranger."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, astuple, fields
from typing import Any, get_args

import numpy as np

from nn_inspector.history.facts import TRACE_LIMIT, Facts
from nn_inspector.history.finding import BASES, SEVERITIES, Finding, Remedy, Trial
from nn_inspector.history.nonfinite import BEFORE, ModuleSummary, Nonfinite, Where
from nn_inspector.probes import Epoch, Lengths, TraceEntry

LONGEST = 1 << 26
"""No text in a run file has more characters than this."""

_EPOCH_FIELDS = tuple(field.name for field in fields(Epoch))
_NO_NUMBERS = ("loader", "complete", "class_counts", "lengths")
_INTEGER_DIGITS = 25


class FactError(ValueError):
    """The text is not what its key says it is."""


def to_text(value: object) -> str:
    """As JSON; NaN and Infinity are written as Python's json does. What JSON cannot hold becomes its description.

    Example:
        >>> to_text({"lr": float("inf"), "steps": np.int64(3)})
        '{"lr": Infinity, "steps": 3}'
    """
    return json.dumps(value, default=_describe, skipkeys=True)


def from_text(text: object) -> Any:
    """The way back from `to_text`.

    Raises:
        FactError: it is no JSON text.
    """
    _require(isinstance(text, str) and len(text) <= LONGEST, "a JSON text")
    try:
        return json.loads(str(text), parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise FactError(f"a JSON text that cannot be read ({error})") from error


def trace_data(trace: Iterable[TraceEntry]) -> list[Any]:
    """The calls of the loop as JSON can hold them."""
    return [[entry.step, entry.call, dict(entry.facts)] for entry in list(trace)]


def epoch_data(epoch: Epoch) -> dict[str, Any]:
    """A pass over a loader as JSON can hold it."""
    values = {name: getattr(epoch, name) for name in _EPOCH_FIELDS}
    return {**values, "class_counts": epoch.class_counts.tolist(), "lengths": list(astuple(epoch.lengths))}


def finding_data(finding: Finding) -> dict[str, Any]:
    """A finding as JSON can hold it, with NaN and Inf as they are."""
    return asdict(finding)


def nonfinite_data(nonfinite: Nonfinite | None) -> dict[str, Any] | None:
    """The first NaN or Inf of a run as JSON can hold it."""
    return asdict(nonfinite) if nonfinite is not None else None


def set_fact(facts: Facts, key: str, data: Any) -> None:
    """Put what was read under `key` where it belongs; a key that is not known is left alone.

    Raises:
        FactError: it is not what belongs there.
    """
    if key in ("name", "motivation"):
        _require(isinstance(data, str), f"a text as {key}")
        setattr(facts, key, data)
    elif key == "steps":
        _require(_is_whole(data) and data >= 0, "a number of steps")
        facts.steps = data
    elif key in ("parameters", "metadata"):
        _require(isinstance(data, dict), f"an object as {key}")
        setattr(facts, key, data)
    elif key == "trace":
        facts.trace = deque((_trace_entry(row) for row in _rows(data)), maxlen=TRACE_LIMIT)
    elif key == "findings":
        found = [_finding(row) for row in _rows(data)]
        facts.findings = {finding.check: finding for finding in found}
    elif key == "raised":
        _require(
            isinstance(data, dict) and all(_is_whole(step) and step >= 0 for step in data.values()), "steps of checks"
        )
        facts.raised = data
    elif key == "nonfinite":
        facts.nonfinite = _nonfinite(data)


def epoch_from(data: Any) -> Epoch:
    """The way back from `epoch_data`.

    Raises:
        FactError: it is not a pass over a loader.
    """
    _require(isinstance(data, dict), "an epoch")
    data = {"lengths": astuple(Lengths()), **data}  # older files do not say
    _require(set(data) == set(_EPOCH_FIELDS), "the fields of an epoch")
    counts, lengths = data["class_counts"], data["lengths"]
    _require(isinstance(lengths, list | tuple) and len(lengths) == len(fields(Lengths)), "the lengths of an epoch")
    numbers = [data[name] for name in _EPOCH_FIELDS if name not in _NO_NUMBERS]
    sound = isinstance(data["loader"], str) and isinstance(data["complete"], bool) and isinstance(counts, list)
    _require(sound and all(map(_is_whole, [*numbers, *counts, *lengths])), "whole numbers in an epoch")
    return Epoch(**{**data, "class_counts": np.array(counts, dtype=np.int64), "lengths": Lengths(*lengths)})


def _trace_entry(row: Any) -> TraceEntry:
    _require(isinstance(row, list) and len(row) == 3, "three parts in each entry of the trace")
    step, call, facts = row
    _require(_is_whole(step) and isinstance(call, str) and isinstance(facts, dict), "step, call and facts in the trace")
    return TraceEntry(step, call, facts)


def _finding(row: Any) -> Finding:
    _require(isinstance(row, dict), "a finding")
    row = {"basis": "statistics", **row}  # older files do not say
    _require(set(row) == {field.name for field in fields(Finding)} and row["basis"] in BASES, "the fields of a finding")
    texts = (row["check"], row["message"], row["where"] or "", *_rows(row["sources"]))
    _require(all(isinstance(text, str) for text in texts) and row["severity"] in SEVERITIES, "a finding's texts")
    evidence = row["evidence"]
    _require(isinstance(evidence, dict), "a finding's evidence")
    for value in evidence.values():
        _require(all(map(_is_number, value if isinstance(value, list) else [value])), "numbers as evidence")
    return Finding(**{**row, "sources": tuple(row["sources"]), "remedy": _remedy(row["remedy"])})


def _nonfinite(row: Any, *, is_later: bool = False) -> Nonfinite | None:
    if row is None:
        return None
    _place(row, Nonfinite)
    before = tuple(_module_summary(one) for one in _rows(row["before"]))
    _require(len(before) <= BEFORE, f"at most {BEFORE} modules before NaN or Inf")
    _require(row["then"] is None or not is_later, "one later place of NaN or Inf")
    then = _nonfinite(row["then"], is_later=True)
    return Nonfinite(row["step"], row["where"], row["source"], before, then)


def _module_summary(row: Any) -> ModuleSummary:
    _place(row, ModuleSummary)
    numbers = row["numbers"]
    _require(isinstance(numbers, dict) and all(map(_is_number, numbers.values())), "numbers of a module")
    return ModuleSummary(row["step"], row["where"], row["source"], numbers)


def _place(row: Any, kind: type[Nonfinite | ModuleSummary]) -> None:
    _require(isinstance(row, dict) and set(row) == {field.name for field in fields(kind)}, "the fields of NaN or Inf")
    _require(_is_whole(row["step"]) and row["step"] >= 0, "the step of NaN or Inf")
    _require(row["where"] in get_args(Where) and isinstance(row["source"], str), "the place of NaN or Inf")


def _remedy(row: Any) -> Remedy | None:
    if row is None:
        return None
    _require(isinstance(row, dict) and set(row) == {"text", "code", "tried"}, "the fields of a remedy")
    _require(isinstance(row["text"], str) and isinstance(row["code"], str), "a remedy's texts")
    tried = row["tried"]
    if tried is None:
        return Remedy(row["text"], row["code"])
    _require(isinstance(tried, dict), "a trial")
    tried = {"measure": "loss", "every": 1, **tried}  # older files do not say
    _require(set(tried) == {"without", "treated", "helped", "measure", "every"}, "the fields of a trial")
    _require(isinstance(tried["measure"], str) and _is_whole(tried["every"]), "what a trial measured")
    curves = (_rows(tried["without"]), _rows(tried["treated"]))
    _require(all(curve and all(map(_is_number, curve)) for curve in curves), "the numbers of a trial")
    return Remedy(
        row["text"],
        row["code"],
        Trial(*curves, helped=bool(tried["helped"]), measure=tried["measure"], every=tried["every"]),
    )


def _rows(data: Any) -> list[Any]:
    _require(isinstance(data, list), "a list")
    return list(data)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise FactError(f"something else than {what}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _INTEGER_DIGITS else math.copysign(math.inf, -1 if digits[0] == "-" else 1)


def _describe(value: object) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, np.ndarray | set | frozenset | deque):
        return list(value)
    return str(value)
