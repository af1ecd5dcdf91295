"""All findings together: what is wrong, the likeliest root cause first."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from nn_inspector.checks import Check, Subject, symptoms_of
from nn_inspector.checks.examine import examine
from nn_inspector.experiments import time_limit
from nn_inspector.history import BASES, SEVERITIES, Finding
from nn_inspector.history.finding_html import findings_html

_SHARE = 8.0
"""An experiment may take so many times its even share of the time that is left: most checks take next to none."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the checks found, in the order of suspicion.

    Attributes:
        findings: all of them, what is most likely the root cause first.
        left_out: checks that were not made, with the reason.
    """

    findings: list[Finding]
    left_out: dict[str, str]

    @property
    def causes(self) -> list[Finding]:
        """Errors and warnings that no other finding explains."""
        raised = [finding for finding in self.findings if finding.raised]
        return [finding for finding in raised if not _explained(finding, raised)]

    def symptoms(self, cause: Finding) -> list[Finding]:
        """Errors and warnings that `cause` explains."""
        others = [finding for finding in self.findings if finding is not cause and finding.raised]
        return [finding for finding in others if _explains(cause, finding)]

    def to_json(self) -> dict[str, Any]:
        """The diagnosis as data that JSON can hold."""
        return {"findings": [finding.to_json() for finding in self.findings], "left_out": dict(self.left_out)}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        causes = self.causes
        symptoms = [finding for finding in self.findings if finding.raised and finding not in causes]
        others = [finding for finding in self.findings if not finding.raised]
        return findings_html(self._headline(), causes, symptoms, others, self._remarks())

    def _headline(self) -> str:
        causes = self.causes
        if not causes:
            looked = sum(finding.severity != "skipped" for finding in self.findings)
            missing = len(self.findings) - looked + len(self.left_out)
            if not looked:
                return "No check could be made; see below why."
            found = f"Nothing wrong was found by {looked} check{'s' if looked > 1 else ''}."
            return f"{found} {missing} could not be made; see below why." if missing else found
        return "1 likely cause was found." if len(causes) == 1 else f"{len(causes)} likely causes were found."

    def _remarks(self) -> list[str]:
        return [f"Left out: {name} ({reason})" for name, reason in self.left_out.items()]

    def _lines(self) -> list[str]:
        lines = [self._headline()]
        told: set[str] = set()
        for number, cause in enumerate(self.causes, 1):
            symptoms = self.symptoms(cause)
            again = [symptom.check for symptom in symptoms if symptom.check in told]
            lines.append(f"{number}. {cause}")
            lines += [f"   explains {one.check}: {one.message}" for one in symptoms if one.check not in told]
            lines += [f"   explains as well: {', '.join(again)}"] if again else []
            told |= {symptom.check for symptom in symptoms}
        for finding in self.findings:
            if not finding.raised:
                lines.append(f"- {finding}")
        return lines + self._remarks()


def diagnose(
    subject: Subject,
    checks: Sequence[Check],
    *,
    active: bool = True,
    budget: float = 30.0,
    silenced: Mapping[str, str] = MappingProxyType({}),
) -> Diagnosis:
    """Make the checks within a budget of time and put their findings in order.

    Args:
        subject: training and run.
        checks: which checks to make.
        active: whether experiments on copies are allowed.
        budget: seconds for all of them; it is shared among those still to be made.
        silenced: checks that are not to raise anything, with the reason.
    """
    deadline = time.monotonic() + budget
    used_up = f"the budget of {budget:g} s was used up"
    findings: list[Finding] = []
    left_out: dict[str, str] = {}
    passive = [check for check in checks if check.info.kind == "passive"]
    experiments = [check for check in checks if check.info.kind == "active"]
    for index, check in enumerate((*passive, *experiments)):
        rest = deadline - time.monotonic()
        if check.info.kind == "active" and not active:
            left_out[check.info.name] = "it makes an experiment, and active=False"
        elif check.info.kind == "active" and rest <= 0:
            left_out[check.info.name] = used_up
        else:
            share = min(1.0, _SHARE / (len(checks) - index)) * max(rest, 0.0) if active else 0.0
            found = _in_time(check, replace(subject, seconds=share), deadline)
            if found is None:
                left_out[check.info.name] = used_up
            else:
                findings.append(found)
    heard = [one.silenced(silenced[one.check]) if one.check in silenced else one for one in findings]
    return Diagnosis(ranked(heard), left_out)


def _in_time(check: Check, subject: Subject, deadline: float) -> Finding | None:
    """A finding; where the time ends during an experiment what can be said without one, if anything."""
    with time_limit(deadline) as limit:
        found = examine(check, subject)
    if not limit.hit:
        return found
    return None if check.info.kind == "active" else examine(check, replace(subject, seconds=0.0))


def ranked(findings: Sequence[Finding]) -> list[Finding]:
    """Findings in the order of suspicion.

    Causes come first, what they explain after them, and then what is no reason to do anything. Among equals, what a trial
    has proven stands before what can be read from how the parts are put together, and that before what is a matter of
    numbers; then errors stand before warnings.
    """
    raised = [finding for finding in findings if finding.raised]

    def suspicion(finding: Finding) -> tuple[int, ...]:
        if not finding.raised:
            return 2, SEVERITIES.index(finding.severity)
        return int(_explained(finding, raised)), *_strength(finding)

    return sorted(findings, key=suspicion)


def _strength(finding: Finding) -> tuple[int, int]:
    tried = finding.remedy.tried if finding.remedy is not None else None
    basis = "experiment" if tried is not None and tried.helped else finding.basis
    return BASES.index(basis), SEVERITIES.index(finding.severity)


def _explained(symptom: Finding, raised: Sequence[Finding]) -> bool:
    """Whether another finding explains this one; of two that explain each other, the stronger one stands."""
    return any(
        _explains(cause, symptom) and (not _explains(symptom, cause) or _strength(cause) < _strength(symptom))
        for cause in raised
        if cause is not symptom
    )


def _explains(cause: Finding, symptom: Finding) -> bool:
    return symptom.check in symptoms_of(cause.check)
