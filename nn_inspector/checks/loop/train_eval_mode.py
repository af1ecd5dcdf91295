"""train_eval_mode: is the model in training mode when it is trained, and in evaluation mode when it is validated?"""

from __future__ import annotations

from nn_inspector.beginning import dropout_of
from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.loop.modes import Dependent, dependent_on_mode, learned_statistics, trained_modes
from nn_inspector.checks.loop.reading import Event, Reading
from nn_inspector.checks.loop.source import forward_of, loop_of
from nn_inspector.checks.symptoms import OF_THE_LOOP
from nn_inspector.errors import ExperimentError, InspectorError
from nn_inspector.experiments import Start, evaluate, isolated
from nn_inspector.history import Finding, Remedy

INFO = CheckInfo(
    name="train_eval_mode",
    stage="loop",
    kind="passive",
    question="Is the model in training mode when it is trained, and in evaluation mode when it is validated?",
    why=(
        "Dropout and batch normalization do one thing in training and another in evaluation. A model that stays in "
        "evaluation mode trains without them; one that is validated in training mode gives results that depend on chance "
        "and on the batch, and learns the statistics of the validation data."
    ),
    how=(
        "The mode is noted at every forward pass. Steps in evaluation mode are an error if the model had been in training "
        "mode before and at least 10 % of the steps are concerned. Validation in training mode, and dropout that no mode "
        "switches off or on again, are read from the run and the source. Without dropout and batch normalization, or where "
        "training=True is written out, it is a remark."
    ),
    remedy="Call model.train() at the start of each epoch, and model.eval() before validation.",
    sources=("PyTorch documentation: torch.nn.Module.eval", "PyTorch documentation: torch.nn.functional.dropout"),
    explains=(*OF_THE_LOOP, "normalization", "batch_dependency"),
)

MOST_IN_EVAL = 0.1
"""Share of steps in evaluation mode from which on it is an error. A sound loop has none."""

_ENOUGH = 5

_LOOP = """\
for epoch in range(epochs):
    model.train()
    for x, y in train_loader:
        ...
    model.eval()
    with torch.no_grad():
        for x, y in val_loader:
            ..."""


def look(subject: Subject) -> Finding:
    """Hold the modes that were seen against what the model does differently in them."""
    model, run = subject.training.model, subject.run
    if not run.sources("training_mode"):
        raise InspectorError("No forward pass was seen yet. Run your training loop for a moment, then look again.")
    dependent, reading, forward = dependent_on_mode(model), loop_of(subject), forward_of(subject)
    asks = [event for event in forward.of("dropout") if event.options["how"] == "mode"]
    found = [
        _trained_in_eval(subject, dependent, reading, asks=bool(asks)),
        _dropout_lost(subject, reading, forward),
        _dropout_always(forward),
        _validated_in_train(subject, dependent, reading, asks=bool(asks)),
    ]
    raised = [one for one in found if one is not None]
    if raised:
        return min(raised, key=lambda one: ("error", "warning", "info").index(one.severity))
    if not dependent and not asks:
        return finding(INFO, "ok", "No layer of torch in this model depends on the mode.", basis="structure")
    return finding(INFO, "ok", "Yes, as far as it was seen.", basis="structure")


def _trained_in_eval(subject: Subject, dependent: Dependent, reading: Reading, *, asks: bool) -> Finding | None:
    seen = trained_modes(subject.run)
    if seen is None or seen.in_eval < _ENOUGH or seen.share < MOST_IN_EVAL:
        return None
    evidence = {"steps_in_eval": float(seen.in_eval), "steps": float(seen.steps)}
    remedy = Remedy("Call model.train() before each part of the training.", _LOOP)
    where = reading.place("eval")
    if not dependent and not asks:
        message = f"{seen.share:.0%} of the steps were made in evaluation mode. Nothing in this model depends on it."
        return finding(INFO, "info", message, evidence=evidence, remedy=remedy, where=where, basis="structure")
    what = dependent.text or "dropout"
    message = f"No: {seen.in_eval:,} of {seen.steps:,} steps were made in evaluation mode, that is without {what}."
    initial = subject.training.initial or {}
    untrained_norms = (
        bool(dependent.norms) and bool(initial) and not learned_statistics(subject.training.model, initial)
    )
    severity = "error" if seen.first_in_train or untrained_norms else "info"
    if severity == "info":
        message += " It was so from the first step: on purpose if the model is pre-trained."
    else:
        message += " The remedy was not tried: copies take all their steps in training mode."
    return finding(INFO, severity, message, evidence=evidence, remedy=remedy, where=where, basis="structure")  # type: ignore[arg-type]


def _validated_in_train(subject: Subject, dependent: Dependent, reading: Reading, *, asks: bool) -> Finding | None:
    """Every pass that counts as validation was made in training mode."""
    run = subject.run
    series = run.series("training_mode", "validation")
    if not len(series) or series.low.min() == 0 or not (dependent or asks):
        return None
    passes = [event for event in reading.of("forward") if any(loop.over == "validation" for loop in event.loops)]
    batches = sum(epoch.batches for epoch in run.epochs("validation"))
    if not batches and not passes:
        return None
    if any(_is_repeated(event) for event in passes):
        return None  # Monte Carlo dropout: the same batch several times
    what = []
    if dependent.dropout or asks:
        what.append("dropout is active, so that the results depend on chance")
    if dependent.norms:
        what.append("batch normalization learns from the validation data")
    return finding(
        INFO,
        "warning",
        f"No: the model is in training mode while it is validated; {' and '.join(what)}.",
        evidence={"validation_batches": float(batches)},
        remedy=Remedy("Call model.eval() before validation, and model.train() after it.", _LOOP),
        where=passes[0].place if passes else "val_loader",
        basis="structure",
    )


def _is_repeated(event: Event) -> bool:
    overs = [loop.over for loop in event.loops]
    return "validation" in overs and overs[-1] != "validation"


def _dropout_always(forward: Reading) -> Finding | None:
    """Dropout as a function that is not told the mode, or as a module that is made anew in each pass."""
    found = [event for event in forward.of("dropout") if event.options["how"] in ("default", "always", "made")]
    if not found:
        return None
    mistaken = [event for event in found if event.options["how"] != "always"]
    remedy = Remedy(
        "Tell it the mode, or make it a torch.nn.Dropout in __init__ of the model.",
        "x = torch.nn.functional.dropout(x, p=0.5, training=self.training)  # in forward of the model",
    )
    if not mistaken:
        message = "Is it on purpose? Dropout is written with training=True: it stays on in evaluation mode too."
        return finding(INFO, "info", message, remedy=remedy, where=found[0].place, basis="structure")
    event = mistaken[0]
    why = "is made anew in each pass" if event.options["how"] == "made" else "is not told the mode"
    message = f"No: {event.on} in the forward pass {why}, and stays on in evaluation mode."
    return finding(INFO, "warning", message, remedy=remedy, where=event.place, basis="structure")


def _dropout_lost(subject: Subject, reading: Reading, forward: Reading) -> Finding | None:
    """A probability that was above 0 is 0 now, and an evaluation pass or the loop has made it so."""
    training = subject.training
    now = dropout_of(training.model)
    lost = {place: p for place, p in training.beginning.dropout.items() if now.get(place) == 0}
    if not lost:
        return None
    by_forward = _switched_off_by_evaluation(subject, lost)
    written = _set_to_zero(forward if by_forward else reading)
    if not by_forward and written is None:
        return None
    place, before = next(iter(lost.items()))
    message = f"No: dropout is gone. {place} was {before:g} and is 0 now, and nothing sets it back for training."
    return finding(
        INFO,
        "error" if by_forward else "warning",
        message,
        evidence={"before": before, "now": 0.0},
        remedy=Remedy(
            "Do not change the probability: let the mode decide.",
            "x = torch.nn.functional.dropout(x, p=self.dropout_p, training=self.training)  # in forward of the model",
        ),
        where=written.place if written is not None else place,
        basis="experiment" if by_forward else "structure",
    )


def _switched_off_by_evaluation(subject: Subject, lost: dict[str, float]) -> bool:
    """Whether on a copy an evaluation pass switches dropout off, and a training pass after it leaves it so."""
    if subject.seconds <= 0:
        return False
    try:
        batch = subject.batches()[0]
        with isolated(subject.training, start=Start()) as copied:
            for place, p in lost.items():
                name, _, attribute = place.rpartition(".")
                setattr(copied.model.get_submodule(name), attribute, p)
            copied.train_mode()
            evaluate(copied, batch)
            copied.model.train()
            copied.loss(batch)
            after = dropout_of(copied.model)
    except ExperimentError:
        return False
    return any(after.get(place) == 0 for place in lost)


def _set_to_zero(reading: Reading) -> Event | None:
    """Where a probability of dropout is set to 0, if nothing sets one to anything else."""
    events = [event for event in reading.of("reset", "assign", "replace") if _is_probability(event)]
    zero = [event for event in events if getattr(event.target, "known", None) == 0]
    return zero[0] if zero and len(zero) == len(events) else None


def _is_probability(event: Event) -> bool:
    name = event.on.rpartition(".")[2].lower()
    return "." in event.on and ("drop" in name or name == "p")


CHECK = Check(INFO, look)
