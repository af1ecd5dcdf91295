"""One training, watched by its owner, run, and diagnosed."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

import nn_inspector as nni
from benchmarks.diagnosis.tasks import Task
from nn_inspector.diagnosis import Diagnosis
from tests.scenes import Scene

ALARMS = ("error", "warning")
"""The severities that count: what is weaker is no answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said about one training.

    Attributes:
        findings: (check, severity) in the order of suspicion, errors and warnings only.
        seconds: processor time that the diagnosis took, after the training.
        failure: why there is no answer, or no whole one since a check failed itself; or None.
        unlooked: checks that could not look, or for which the time did not last.
    """

    findings: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0
    failure: str | None = None
    unlooked: tuple[str, ...] = ()

    @property
    def checks(self) -> list[str]:
        """The checks that raised an alarm, the first suspicion first."""
        return [check for check, _ in self.findings]

    def to_json(self) -> dict[str, Any]:
        """As data that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Answer:
        """What `to_json` has made."""
        findings = tuple((check, severity) for check, severity in data["findings"])
        return cls(**{**data, "findings": findings, "unlooked": tuple(data.get("unlooked", ()))})


Watcher = Callable[[Scene], Answer]
"""Runs the loop of a scene and says what is wrong with it."""


def budgets_in_processor_time() -> None:
    """From here on this process counts budgets by its own processor time, so that other work on the machine changes no answer."""
    time.monotonic = time.process_time


def watched_by_us(scene: Scene, *, active: bool) -> tuple[Diagnosis, float]:
    """The diagnosis, exactly as its owner would ask for it, and the processor time in seconds that it took."""
    inspector = nni.watch(
        scene.model,
        scene.optimizer,
        scene.loss_fn,
        train_loader=scene.train_loader,
        val_loader=scene.val_loader,
        loop=scene.loop,
        **({"step": scene.step} if scene.step is not None else {}),
        show=False,
    )
    scene.loop()
    start = time.process_time()
    diagnosis = inspector.diagnose(active=active)
    seconds = time.process_time() - start
    inspector.detach()
    return diagnosis, seconds


def ours_active(scene: Scene) -> Answer:
    """Our diagnosis, with experiments."""
    return _ours(scene, active=True)


def ours_passive(scene: Scene) -> Answer:
    """Our diagnosis, from what the run has shown."""
    return _ours(scene, active=False)


def answer(task: Task, watcher: Watcher) -> Answer:
    """Build, run and diagnose. What goes wrong is an answer as well: a failure."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return watcher(task.build())
        except Exception as error:  # noqa: BLE001 - a training that cannot be diagnosed is a row of the table
            last = traceback.extract_tb(error.__traceback__)[-1]
            return Answer(failure=f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})")


def _ours(scene: Scene, *, active: bool) -> Answer:
    diagnosis, seconds = watched_by_us(scene, active=active)
    found = [(finding.check, finding.severity) for finding in diagnosis.findings if finding.severity in ALARMS]
    failed = [finding.message for finding in diagnosis.findings if "failed itself" in finding.message]
    skipped = {finding.check for finding in diagnosis.findings if finding.severity == "skipped"}
    unlooked = tuple(sorted(skipped | set(diagnosis.left_out)))
    return Answer(tuple(found), seconds, failed[0] if failed else None, unlooked)
