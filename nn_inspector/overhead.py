"""What watching costs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Overhead:
    """What watching cost so far.

    The first steps are all measured in full, whatever that costs, and are accounted for apart.

    Attributes:
        share: seconds of ours over seconds of training, after the first steps; 0 before.
        own_seconds, total_seconds: the two.
        first_seconds: seconds of ours in the first steps.
        measured_steps, steps: how many of the steps were measured in full.
    """

    share: float
    own_seconds: float
    total_seconds: float
    first_seconds: float
    measured_steps: int
    steps: int

    def __str__(self) -> str:
        return (
            f"{self.share:.1%} of the training time and {self.first_seconds:.2g} s in the first steps; "
            f"{self.measured_steps} of {self.steps} steps measured in full"
        )
