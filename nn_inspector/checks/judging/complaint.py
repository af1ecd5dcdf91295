"""What does not fit, in words, with what to do instead."""

from __future__ import annotations

from dataclasses import dataclass

from nn_inspector.checks.base import CheckInfo, finding
from nn_inspector.checks.judging.contest import Contest
from nn_inspector.history import Basis, Evidence, Finding, Remedy, Severity


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that does not fit.

    Attributes:
        severity: how bad it is.
        message: what is there, and why it hurts.
        advice, code: what to do instead.
        where: the module, or "loop".
        basis: what it rests on.
        evidence: numbers.
        contest: how a copy did that was judged in another way.
    """

    severity: Severity
    message: str
    advice: str
    code: str
    where: str | None = None
    basis: Basis = "structure"
    evidence: Evidence | None = None
    contest: Contest | None = None

    def finding(self, info: CheckInfo) -> Finding:
        """As what a check says."""
        race = self.contest.race if self.contest is not None else None
        proven = race is not None and race.severity != "info"
        message = self.message + (self.contest.text if self.contest is not None else "")
        if self.contest is not None and self.contest.well:
            message += " Your training learned well in spite of it."
        remedy = Remedy(self.advice, self.code, race.trial if race is not None else None)
        evidence = dict(self.evidence or {})
        if self.contest is not None and self.contest.left is not None:
            evidence["still_to_learn"] = self.contest.left
        return finding(
            info,
            self.severity,
            message,
            evidence=evidence,
            remedy=remedy,
            where=self.where,
            basis="experiment" if proven else self.basis,
        )
