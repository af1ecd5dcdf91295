"""What a check is: a row of the catalogue and a function that turns a training and its run into a finding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nn_inspector.errors import ExperimentError, InspectorError
from nn_inspector.experiments import (
    Anatomy,
    Arm,
    BatchSource,
    OutOfTimeError,
    Start,
    initial_state,
    isolated,
    take_apart,
    try_remedy,
)
from nn_inspector.history import Basis, Chart, Evidence, Finding, Remedy, Run, Severity, Trial, curve, row_labels
from nn_inspector.training import Training

Stage = Literal["data", "init", "model", "loop", "fit", "train", "evaluate", "tune"]

STAGES: Mapping[Stage, str] = {
    "data": "Know what goes in",
    "init": "Before the first step",
    "model": "Its parts fit together",
    "loop": "The code around the model",
    "fit": "Can it learn at all",
    "train": "While it runs",
    "evaluate": "Does it generalize",
    "tune": "Make it better",
}
"""The stages of the checklist, in order, and what each is about."""


@dataclass(frozen=True, slots=True)
class CheckInfo:
    """One row of the catalogue: all that wizard, side panel and documentation say about a check.

    Attributes:
        name: what `Finding.check` says.
        stage: where in the checklist it stands.
        kind: "passive" reads a run, and with time left may settle it on a copy; "active" cannot do without an experiment on a copy.
        question: what is asked, as one question.
        why: why it matters, in a few sentences for somebody who meets it the first time.
        how: what the check does, and from where on it speaks up.
        remedy: what to do if it does.
        sources: where the rule comes from.
        explains: checks whose findings are symptoms of this one.
    """

    name: str
    stage: Stage
    kind: Literal["passive", "active"]
    question: str
    why: str
    how: str
    remedy: str
    sources: tuple[str, ...]
    explains: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name as a heading.

        Example:
            >>> from nn_inspector.checks.loop.zeroed_gradients import CHECK
            >>> CHECK.info.title
            'Zeroed gradients'
        """
        return self.name.replace("_", " ").capitalize()


@dataclass(frozen=True, slots=True)
class Subject:
    """What a check looks at.

    Attributes:
        training: the user's objects.
        run: what was measured so far.
        seconds: how long experiments may take; 0 forbids them.
        looks: what checks of one diagnosis have looked at together, so that it is done once.
    """

    training: Training
    run: Run
    seconds: float
    looks: dict[Any, Any] = field(default_factory=dict)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` returns, or the error of this project that it raised: made at the first call, then remembered."""
        if key not in self.looks:
            try:
                self.looks[key] = make()
            except OutOfTimeError:
                raise
            except InspectorError as error:
                self.looks[key] = error
        if isinstance(self.looks[key], InspectorError):
            raise self.looks[key]
        return self.looks[key]

    def batches(self, count: int = 8) -> list[Any]:
        """Up to `count` batches of training data, of items drawn at random; the same ones for all checks.

        Raises:
            ExperimentError: there is no train_loader, or it cannot be read.
        """
        drawn: list[Any] = self.once(
            ("batches", count), lambda: BatchSource(self.training.data, seconds=5.0).mixed(count)
        )
        return drawn

    def moments(self, count: int = 8) -> list[Any]:
        """The same, and where there are none the first steps of the loop, as they were recorded.

        For what holds of a single step whoever made its data: its direction, and what a gradient reaches.

        Raises:
            ExperimentError: there are neither.
        """
        recorded = self.training.moments if self.training.train_loader is None else ()
        return list(recorded[:count]) if recorded else self.batches(count)

    def require_steps(self) -> None:
        """Raise unless a step of the training was seen.

        Raises:
            InspectorError: none was; it says what may be the reason.
        """
        if self.run.steps:
            return
        if self.run.sources("training_mode"):
            raise InspectorError(
                "The model ran, but no step of an optimizer was seen. Where your loop changes the weights itself, let "
                "torch.optim.SGD do it: the result is the same, and its steps are seen."
            )
        raise InspectorError("No step was seen yet. Run your training loop for a moment, then look again.")

    def anatomy(self, weights: Literal["initial", "now"] = "initial", *, training: bool = True) -> Anatomy:
        """One pass of a copy over one batch, taken apart. It is made once for all checks of a diagnosis: change nothing.

        Args:
            weights: those at the time of `watch()`, or those of now.
            training: in training mode, else in evaluation mode.

        Raises:
            ExperimentError: no experiment is allowed, or none is possible.
        """

        def make() -> Anatomy:
            if self.seconds <= 0:
                raise ExperimentError("This check makes an experiment, and there is no time left for one.")
            start = initial_state(self.training, self.run) if weights == "initial" else Start()
            with isolated(self.training, start=start) as copied:
                return take_apart(copied, self.moments()[0], training=training)

        seen: Anatomy = self.once(("anatomy", weights, training), make)
        return seen


def no_chart(finding: Finding) -> Chart | None:
    """For a check whose evidence is best read as numbers."""
    return None


@dataclass(frozen=True, slots=True)
class Check:
    """A check.

    Attributes:
        info: its row in the catalogue.
        look: makes the finding. It may raise `InspectorError` with the reason why it could not look.
        chart: draws the finding's evidence.
    """

    info: CheckInfo
    look: Callable[..., Finding]
    chart: Callable[[Finding], Chart | None] = no_chart


def finding(
    info: CheckInfo,
    severity: Severity,
    message: str,
    *,
    evidence: Evidence | None = None,
    remedy: Remedy | None = None,
    where: str | None = None,
    basis: Basis = "statistics",
) -> Finding:
    """A finding of the check described by `info`."""
    return Finding(info.name, severity, message, evidence or {}, remedy, where, info.sources, basis)


def try_out(subject: Subject, arms: Callable[[BatchSource], tuple[Arm, Arm]], *, steps: int) -> Trial | None:
    """Try a remedy from the training's first weights, if experiments are allowed and possible.

    Args:
        subject: training and run.
        arms: makes both arms, without the remedy and with it, of the training data.
        steps: how many steps each may take.
    """
    training = subject.training
    if subject.seconds <= 0 or not training.optimizers:
        return None
    try:
        start = initial_state(training, subject.run)
        without, treated = arms(BatchSource(training.data, seconds=subject.seconds / 3))
        return try_remedy(training, without, treated, steps=steps, start=start, seconds=subject.seconds)
    except ExperimentError:
        return None


def trial_chart(finding: Finding) -> Chart | None:
    """Both curves of the trial, if the remedy was tried."""
    trial = finding.remedy.tried if finding.remedy else None
    if trial is None:
        return None
    arms = {"without the remedy": trial.without, "with the remedy": trial.treated}
    series = {name: curve(values, every=trial.every) for name, values in arms.items()}
    return Chart("lines", "step of the trial", f"{trial.measure} on one fixed batch", series)


def row_chart(label: str, name: str = "now") -> Callable[[Finding], Chart | None]:
    """Makes a chart of evidence that is one number for each layer or the like: one row each, in its order.

    Args:
        label: what the numbers are.
        name: of what moment or model they are.
    """

    def chart(finding: Finding) -> Chart | None:
        numbers = {place: value for place, value in finding.evidence.items() if isinstance(value, int | float)}
        if not numbers:
            return None
        return Chart("rows", label, "", {name: curve(list(numbers.values()), "points")}, row_labels(list(numbers)))

    return chart
