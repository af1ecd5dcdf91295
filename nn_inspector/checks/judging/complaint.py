"""What does not fit, in words, with what to do instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nn_inspector.checks.base import CheckInfo, Subject, finding
from nn_inspector.checks.judging.contest import Contest
from nn_inspector.checks.judging.reading import Judged, judged
from nn_inspector.history import SEVERITIES, Basis, Evidence, Finding, Remedy, Severity, Trial


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
        trial: another one that shows the gain, where the training did well.
    """

    severity: Severity
    message: str
    advice: str
    code: str
    where: str | None = None
    basis: Basis = "structure"
    evidence: Evidence | None = None
    contest: Contest | None = None
    trial: Trial | None = None

    def finding(self, info: CheckInfo) -> Finding:
        """As what a check says."""
        race = self.contest.race if self.contest is not None else None
        proven = race is not None and race.severity != "info"
        message = self.message[:1].upper() + self.message[1:] + (self.contest.text if self.contest is not None else "")
        if self.contest is not None and self.contest.well:
            message += " Your training learned well in spite of it."
        remedy = Remedy(self.advice, self.code, race.trial if race is not None else self.trial)
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


Rule = Callable[[Subject, Judged], Complaint | None]


def verdict(subject: Subject, info: CheckInfo, rules: Sequence[Rule], fine: Callable[[Judged], str]) -> Finding:
    """Of each prediction that is judged the first complaint counts, and of those the worst one is the finding.

    Args:
        subject: training and run.
        info: of the check that asks.
        rules: in the order in which they are asked.
        fine: what to say of the first prediction if there is no complaint.

    Raises:
        InspectorError: nothing is known of how the training is judged.
    """
    seen = judged(subject)
    found = (next((complaint for rule in rules if (complaint := rule(subject, one)) is not None), None) for one in seen)
    complaints = [one for one in found if one is not None]
    if not complaints:
        return finding(info, "ok", f"Yes: {fine(seen[0])}.", basis="structure")
    return min(complaints, key=lambda one: SEVERITIES.index(one.severity)).finding(info)
