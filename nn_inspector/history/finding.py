"""What a check has to say, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Severity = Literal["ok", "info", "warning", "error", "skipped"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info", "ok", "skipped")
"""From what is worth stopping for to what could not be looked at."""

Basis = Literal["experiment", "structure", "statistics"]

BASES: tuple[Basis, ...] = ("experiment", "structure", "statistics")
"""What a finding rests on, the strongest first."""

Evidence = Mapping[str, float | list[float]]


@dataclass(frozen=True, slots=True)
class Trial:
    """A remedy that was tried: two short trainings on copies, from one state and on the same batches.

    Attributes:
        without, treated: what was measured on one fixed batch after each step of the training, without the remedy and
            with it; lower is better.
        helped: whether the remedy clearly lowered it.
        measure: what was measured.
        every: after so many steps each.
    """

    without: list[float]
    treated: list[float]
    helped: bool
    measure: str = "loss"
    every: int = 1

    @property
    def text(self) -> str:
        """The trial in one sentence."""
        start, steps = _digits(self.treated[0]), self.every * (len(self.treated) - 1)
        end, other = _digits(self.treated[-1]), _digits(self.without[-1])
        verdict = "" if self.helped else " In so short a trial that is no clear gain."
        unit = "step" if steps == 1 else "steps"
        return (
            f"Tried on a copy: {self.measure} {start} → {end} in {steps} {unit} with it, {other} without it.{verdict}"
        )


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do about a finding.

    Attributes:
        text: the advice in a sentence or two.
        code: the advice as Python code, to be put into the notebook.
        tried: what happened when it was tried on a copy, or None if it could not be.
    """

    text: str
    code: str
    tried: Trial | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer of one check.

    Attributes:
        check: name of the check.
        severity: "error" is worth stopping for; "skipped" means it could not be looked at, and `message` says why.
        message: the answer, with its numbers.
        evidence: what it rests on: names of numbers or of lists of numbers.
        remedy: what to do, or None.
        where: the module, parameter, loader or source line it is about, or None.
        sources: where the rule comes from.
        basis: "experiment" if copies have shown it, "structure" if it can be read from how the parts are put together,
            "statistics" if numbers are out of the usual. A remedy that was tried and helped is an experiment as well.
    """

    check: str
    severity: Severity
    message: str
    evidence: Evidence = field(default_factory=dict)
    remedy: Remedy | None = None
    where: str | None = None
    sources: tuple[str, ...] = ()
    basis: Basis = "statistics"

    @property
    def raised(self) -> bool:
        """Whether something is to be done: an error or a warning."""
        return self.severity in ("error", "warning")

    def silenced(self, reason: str) -> Finding:
        """The same finding as a remark, with the reason why it is not to be raised; itself if it is not raised.

        Example:
            >>> Finding("shuffling", "error", "The items come sorted.").silenced("they are a time series").message
            'Silenced (they are a time series), else an error: The items come sorted.'
        """
        if not self.raised:
            return self
        article = "an" if self.severity == "error" else "a"
        message = f"Silenced ({reason}), else {article} {self.severity}: {self.message}"
        return replace(self, severity="info", message=message)

    def _repr_html_(self) -> str:
        from nn_inspector.history.finding_html import finding_html  # noqa: PLC0415 - only a notebook asks for it

        return finding_html(self)

    def __str__(self) -> str:
        lines = [f"[{self.severity}] {self.check}: {self.message}"]
        if self.remedy is not None and self.raised:
            lines.append(f"   Remedy: {self.remedy.text}")
            lines += [f"   {self.remedy.tried.text}"] if self.remedy.tried is not None else []
        return "\n".join(lines)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def to_json(self) -> dict[str, Any]:
        """The finding as data that JSON can hold: NaN and Inf become None."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def _digits(number: float) -> str:
    return f"{number:.3g}"
