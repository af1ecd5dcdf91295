"""Checks that leave the training as it was."""

from tests.trainings import assert_equal, state_of


def finding_of(name, inspector, case):
    """What a check finds; the case is bit for bit what it was."""
    before = state_of(case)
    finding = inspector.check(name, seconds=300.0)
    assert_equal(before, state_of(case))
    return finding
