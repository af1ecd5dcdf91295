"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.overhead.measure import Measured
from benchmarks.overhead.problems import Problem
from benchmarks.overhead.variant import Variant

HEADER = (
    "variant",
    "measures",
    "quantities",
    "time ratio",
    "quartiles",
    "ms a step more",
    "ms once",
    "pairs of blocks",
)

Outcome = Measured | str
"""What was measured, or why nothing was."""


def table(problem: Problem, variants: Sequence[Variant], outcomes: Mapping[str, Outcome]) -> str:
    """One problem: a heading and a row for each variant."""
    measured = [outcome for outcome in outcomes.values() if isinstance(outcome, Measured)]
    heading = f"### {problem.title}"
    step = 1000 * min((outcome.step_seconds for outcome in measured), default=0.0)
    if measured:
        heading += f": {measured[0].parameters:,} parameters, {step:.2f} ms a step"
    rows = [_row(variant, outcomes[variant.name], step) for variant in variants]
    alignment = ("---", "---", *["---:"] * (len(HEADER) - 2))
    lines = [f"| {' | '.join(cells)} |" for cells in (HEADER, alignment, *rows)]
    return "\n".join([heading, "", *lines, ""])


def _row(variant: Variant, outcome: Outcome, step: float) -> tuple[str, ...]:
    if isinstance(outcome, str):
        return variant.name, variant.cadence, "", outcome, "", "", "", ""
    first, third = outcome.quartiles
    return (
        variant.name,
        _cadence(variant, outcome),
        str(len(outcome.quantities)),
        f"{outcome.ratio:.3f}",
        f"{first:.3f} to {third:.3f}",
        f"{(outcome.ratio - 1) * step:.3f}",
        f"{1000 * (outcome.attach_seconds + outcome.first_seconds):.0f}",
        f"{len(outcome.ratios)} x {outcome.block} steps",
    )


def _cadence(variant: Variant, outcome: Measured) -> str:
    if outcome.measured_share is None or variant.cadence != "auto":
        return variant.cadence
    return f"auto: {outcome.measured_share:.1%} of steps"
