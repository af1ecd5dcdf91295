"""In what trainings differ: one thing at a time can be understood, two cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nn_inspector.history.run import Run

_SURROUNDINGS = ("seed", "git_commit", "numpy", "nn_inspector")
"""What else may make a difference; versions of Python and PyTorch are among the parameters."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A parameter that is not the same in all runs.

    Attributes:
        name: where it stands, in words, for example "optimizers 0 groups 0 lr".
        values: of each run, as text; "—" where a run has no such thing.
    """

    name: str
    values: tuple[str, ...]


def differences(runs: Sequence[Run]) -> list[Difference]:
    """The parameters in which runs differ; what was changed while they ran comes last.

    Example:
        >>> one, other = (Run(name, {"model": "Net", "optimizer": {"lr": rate}}) for name, rate in (("a", 0.1), ("b", 0.01)))
        >>> differences([one, other])
        [Difference(name='optimizer lr', values=('0.1', '0.01'))]
    """
    facts = [_facts(run) for run in runs]
    names = list(dict.fromkeys(name for one in facts for name in one))
    rows = (Difference(name, tuple(one.get(name, "—") for one in facts)) for name in names)
    return [row for row in rows if len(set(row.values)) > 1]


def _facts(run: Run) -> dict[str, str]:
    surroundings = {name: run.metadata[name] for name in _SURROUNDINGS if name in run.metadata}
    notes = run.metadata.get("notes") or []
    facts = dict(_flat({**run.parameters, **surroundings}, ""))
    if notes:
        facts["changed meanwhile"] = "; ".join(f"step {note.get('step')}: {note.get('what')}" for note in notes)
    return facts


def _flat(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Nested facts by their places."""
    if isinstance(value, Mapping):
        parts = [(str(name) or "(the network)", part) for name, part in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(part, Mapping | list | tuple) for part in value):
        parts = [(str(number), part) for number, part in enumerate(value)]
    else:
        yield place, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        return
    for name, part in parts:
        yield from _flat(part, f"{place} {name}".strip().replace("_", " "))
