"""For test suites and CI: a training is sound, or the test fails and says what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nn_inspector.checks import find_check
from nn_inspector.diagnosis import Diagnosis
from nn_inspector.errors import ArgumentError, describe
from nn_inspector.inspector import Inspector


def assert_healthy(
    inspector: Inspector,
    *,
    warnings: bool = False,
    ignore: Iterable[str] | Mapping[str, str] = (),
    active: bool = True,
    budget: float = 30.0,
) -> Diagnosis:
    """Diagnose a training and raise if something is wrong with it.

    Args:
        inspector: what `watch()` returned, after some steps.
        warnings: whether warnings count as well as errors.
        ignore: names of checks whose findings do not count; or a dict of name -> why.
        active: whether experiments on copies may be made.
        budget: seconds for all checks together.

    Returns:
        The diagnosis, if nothing is wrong.

    Raises:
        AssertionError: something is wrong; the message is the diagnosis as text.
        ArgumentError: an argument is not what it should be.

    Example:
        >>> assert_healthy(inspector, ignore={"shuffling": "a time series"}, active=False).causes
        []
    """
    if not isinstance(inspector, Inspector):
        raise ArgumentError(
            "inspector",
            expected="what watch() returned",
            got=describe(inspector),
            advice="Write inspector = nn_inspector.watch(model, optimizer, loss_fn), train, and pass inspector.",
        )
    names = {find_check(name).info.name for name in ([ignore] if isinstance(ignore, str) else ignore)}
    diagnosis = inspector.diagnose(active=active, budget=budget)
    counted = ("error", "warning") if warnings else ("error",)
    wrong = [finding for finding in diagnosis.findings if finding.severity in counted and finding.check not in names]
    if wrong:
        what = "1 finding" if len(wrong) == 1 else f"{len(wrong)} findings"
        raise AssertionError("\n".join((f"This training is not healthy: {what}.", *map(str, wrong))))
    return diagnosis
