"""zeroed_gradients: are the gradients of one step forgotten before the next?"""

from __future__ import annotations

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart, try_out
from nn_inspector.checks.loop.source import loop_of
from nn_inspector.checks.loop.traced import clipped_to_nothing
from nn_inspector.checks.loop.wasted import one_forward, wasted_batches
from nn_inspector.checks.model.wiring import wiring_of
from nn_inspector.checks.race import FAILED, known_left
from nn_inspector.checks.symptoms import OF_THE_LOOP
from nn_inspector.errors import InspectorError
from nn_inspector.experiments import Arm, BatchSource, without_regularization
from nn_inspector.history import Finding, Remedy, Severity, Trial

INFO = CheckInfo(
    name="zeroed_gradients",
    stage="loop",
    kind="passive",
    question="Are the gradients of one step forgotten before the next?",
    why=(
        "backward() adds to the gradients that are there. If they are never cleared, every step follows the sum of all "
        "gradients so far: old mistakes push for ever, the steps grow, and the loss wanders or explodes. If they are "
        "cleared between backward() and step(), the step has nothing to follow."
    ),
    how=(
        "At each backward() of your own loop, one parameter is looked at just before its gradient is added to. It is an "
        "error if the gradient of the last step still stands there in more than 40 % of the steps, or of the first ones if the "
        "training failed and a copy does far better with clearing. Accumulating over "
        "several batches on purpose is not mistaken for it; it is an error if its gradients are cleared at every batch, so "
        "that only the last one counts."
    ),
    remedy="Call optimizer.zero_grad() once before each backward(), or once before the first of those that belong together.",
    sources=("PyTorch documentation: torch.optim.Optimizer.zero_grad",),
    explains=(*OF_THE_LOOP, "loss_reduction"),
)

_OFTEN = 0.4
_SOMETIMES = 0.05
_FIRST = 20
_TRIAL_STEPS = 80

_LOOP = """\
for x, y in train_loader:
    optimizer.zero_grad()  # forget the gradients of the last step
    loss = loss_fn(model(x), y)
    loss.backward()
    optimizer.step()"""

_ACCUMULATION = """\
for i, (x, y) in enumerate(train_loader):
    (loss_fn(model(x), y) / 4).backward()
    if (i + 1) % 4 == 0:
        optimizer.step()
        optimizer.zero_grad()  # only after a step"""


def look(subject: Subject) -> Finding:
    """Read from the run whether gradients were kept or cleared at the wrong place."""
    run = subject.run
    sources = run.sources("kept_gradient")
    if not sources:
        raise InspectorError("No two steps were seen yet. Run your training loop for a moment, then look again.")
    kept = {source: run.series("kept_gradient", source) for source in sources}
    cleared = {source: run.series("cleared_gradient", source) for source in run.sources("cleared_gradient")}
    worst = max(kept, key=lambda source: kept[source].mean)
    share, seen = kept[worst].mean, kept[worst].total
    reading = loop_of(subject)
    line = reading.place("zero_grad") or reading.place("backward")
    where = worst if len(sources) > 1 else line or "optimizer"
    too_late = max((series.mean for series in cleared.values()), default=0.0)
    if rule(too_late) == "error" and not clipped_to_nothing(run):
        message = "The gradients are cleared after backward() and before step(): the step has nothing to follow."
        remedy = Remedy("Call zero_grad() before backward(), not after it.", _LOOP)
        evidence = {"cleared_share": too_late}
        return finding(INFO, "error", message, evidence=evidence, remedy=remedy, where=where, basis="structure")
    severity = rule(share)
    evidence = {"steps_seen": float(seen), "kept_share": share}
    wasted = wasted_batches(subject.run, reading, some_never_moved=_some_never_moved(subject))
    if severity == "ok" and wasted:
        message = (
            f"No: {wasted + 1} {'losses of one batch' if one_forward(subject.run) else 'batches'} are gathered for each step, but the gradients are cleared at every one of them: "
            f"{wasted} of {wasted + 1} are thrown away."
        )
        remedy = Remedy("Clear the gradients only after a step.", _ACCUMULATION)
        evidence = {"wasted_batches": float(wasted)}
        return finding(INFO, "error", message, evidence=evidence, remedy=remedy, where=where, basis="structure")
    first = float(kept[worst].values[:_FIRST].mean())
    trial = _try_clearing(subject) if severity != "ok" or first > _OFTEN else None
    if severity != "error" and first > _OFTEN and trial is not None and trial.helped and _has_failed(subject):
        # once all gradients are zero, none is left over any more
        severity, evidence["kept_share_at_first"] = "error", first
    if severity == "ok":
        message = f"Yes: in {seen:,} steps each began with cleared gradients."
        return finding(INFO, "ok", message, evidence=evidence, basis="structure")
    message = f"No: in {share:.0%} of {seen:,} steps the gradient of the step before was still there and was added to."
    if "kept_share_at_first" in evidence:
        message += f" Of the first {_FIRST} it was so in {first:.0%}."
    remedy = Remedy("Call optimizer.zero_grad() before each backward().", _LOOP, trial)
    return finding(INFO, severity, message, evidence=evidence, remedy=remedy, where=where, basis="structure")


def _some_never_moved(subject: Subject) -> bool:
    """Whether the optimizers hold parameters of layers that run, and that are what they were when watching began."""
    wiring = wiring_of(subject)
    ran = {str(entry.facts["module"]) for entry in list(subject.run.trace) if entry.call == "module"}
    held = {name for name in wiring.stepped & set(wiring.trainable) if name.rpartition(".")[0] in ran}
    return wiring.moved is not None and bool(held - wiring.moved)


def _has_failed(subject: Subject) -> bool:
    left = known_left(subject)
    return left is not None and left > FAILED


def rule(share: float) -> Severity:
    """Severity for the share of steps in which it happened.

    Example:
        >>> rule(1.0), rule(0.1), rule(0.0)
        ('error', 'warning', 'ok')
    """
    return "error" if share > _OFTEN else "warning" if share > _SOMETIMES else "ok"


def _try_clearing(subject: Subject) -> Trial | None:
    def arms(source: BatchSource) -> tuple[Arm, Arm]:
        batches, judge = source.for_training(_TRIAL_STEPS)
        # Regularization is off in both, so that a second fault does not hide what this one does.
        kept = Arm(batches, judge, change=without_regularization, zero_grad=False)
        return kept, Arm(batches, judge, change=without_regularization)

    return try_out(subject, arms, steps=_TRIAL_STEPS)


CHECK = Check(INFO, look, trial_chart)
