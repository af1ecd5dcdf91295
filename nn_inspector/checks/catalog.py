"""The checklist: every check, in its order. Wizard, side panel and documentation all read it from here."""

from __future__ import annotations

from difflib import get_close_matches

from nn_inspector.checks import data, fit, init, loop, model, train
from nn_inspector.checks.base import STAGES, Check, CheckInfo
from nn_inspector.errors import ArgumentError, describe

_OURS: dict[str, Check] = {
    check.info.name: check for stage in (data, init, model, loop, fit, train) for check in stage.CHECKS
}
_registered: dict[str, Check] = {}


def checks() -> list[Check]:
    """All checks, the user's own ones last."""
    return list((_OURS | _registered).values())


def catalog() -> list[CheckInfo]:
    """The rows of the checklist.

    Example:
        >>> "initial_loss" in [info.name for info in catalog()]
        True
    """
    return [check.info for check in checks()]


def find_check(name: str) -> Check:
    """The check of this name.

    Raises:
        ArgumentError: there is none; the message names those that are alike.
    """
    known = _OURS | _registered
    if isinstance(name, str) and name in known:
        return known[name]
    words = set(str(name).lower().replace("-", "_").split("_"))
    alike = [one for one in known if words & set(one.split("_"))] or get_close_matches(str(name), known)
    advice = f"Perhaps you mean: {', '.join(alike[:6])}." if alike else "nn_inspector.catalog() lists them."
    raise ArgumentError("name", expected="the name of a check", got=repr(name), advice=advice)


def symptoms_of(name: str) -> tuple[str, ...]:
    """Checks whose findings the finding of this one explains; none if it is unknown here, as in a file from elsewhere."""
    check = (_OURS | _registered).get(name)
    return check.info.explains if check is not None else ()


def register_check(check: Check) -> None:
    """Let a check of your own join catalogue, wizard and diagnosis.

    Args:
        check: its row in the catalogue, the function that makes the finding, and optionally its chart. A check of
            the same name is replaced.

    Raises:
        ArgumentError: it is no `Check`, or its stage is unknown.

    Example:
        >>> from nn_inspector import Check, CheckInfo, Finding
        >>> info = CheckInfo(
        ...     name="enough_items", stage="data", kind="passive", question="Are there at least 100 items?",
        ...     why="Fewer say little.", how="Counts them.", remedy="Collect more.", sources=(),
        ... )
        >>> register_check(Check(info, lambda subject: Finding("enough_items", "ok", "Yes.")))
        >>> unregister_check("enough_items")
    """
    if not isinstance(check, Check):
        raise ArgumentError("check", expected="a Check", got=describe(check), advice="Make one: Check(info, look).")
    if check.info.stage not in STAGES:
        raise ArgumentError(
            "check", expected=f"a stage among {', '.join(STAGES)}", got=repr(check.info.stage), advice="Choose one."
        )
    _registered[check.info.name] = check


def unregister_check(name: str) -> None:
    """Take a check of your own out again; one of ours comes back if it had been replaced.

    Raises:
        ArgumentError: no check of this name was registered.
    """
    if name not in _registered:
        got = "one of ours" if name in _OURS else repr(name)
        raise ArgumentError(
            "name", expected="the name of a check you registered", got=got, advice="See register_check()."
        )
    del _registered[name]


def explain(name: str) -> str:
    """The whole story of a check as text: what it asks, why, how it works, what to do, and where it comes from.

    Raises:
        ArgumentError: there is no check of this name.

    Example:
        >>> print(explain("shuffling").splitlines()[0])
        shuffling: Do the items come in a new, mixed order in every epoch?
    """
    info = find_check(name).info
    kind = "makes an experiment on a copy" if info.kind == "active" else "reads the run, and may settle it on a copy"
    parts = (
        f"{info.name}: {info.question}",
        f"Stage: {STAGES[info.stage]} ({info.stage}). It {kind}.",
        f"Why. {info.why}",
        f"How. {info.how}",
        f"Remedy. {info.remedy}",
        "Sources. " + "; ".join(info.sources) if info.sources else "",
    )
    return "\n\n".join(part for part in parts if part)
