"""The Inspector: what ties the floors below it together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from torch.optim import Optimizer

from nn_inspector.checks import Subject, checks, find_check
from nn_inspector.checks.examine import examine
from nn_inspector.controls import Controls
from nn_inspector.diagnosis import Diagnosis, diagnose
from nn_inspector.errors import ArgumentError, InspectorError, TrainingStopped
from nn_inspector.experiments import FixedBatch, look_up
from nn_inspector.history import Finding, Run, surroundings
from nn_inspector.overhead import Overhead
from nn_inspector.own_numbers import OwnNumbers
from nn_inspector.pace import Pace
from nn_inspector.probes import (
    Attachment,
    LayerChoice,
    OptimizerFinder,
    Recorder,
    Schedule,
    choose_layers,
    choose_probes,
    clipping_of,
    is_first_rank,
)
from nn_inspector.steering import Steering
from nn_inspector.subscribers import Subscribers
from nn_inspector.training import Training
from nn_inspector.troubles import Troubles
from nn_inspector.views import open_view


class Inspector(Controls, OwnNumbers):
    """Watches one training.

    Made by `watch()`. It is a context manager: leaving the block detaches it. All that was measured stays readable, and
    the run's file, if there is one, is complete then.

    Attributes:
        training: the user's objects.
        run: what was measured.
    """

    def __init__(
        self,
        training: Training,
        *,
        every: int | Literal["auto"] = "auto",
        max_overhead: float = 0.03,
        path: Path | None = None,
        motivation: str = "",
        probes: str | Sequence[str] = "standard",
        layers: LayerChoice = None,
        keep_samples: bool = False,
    ) -> None:
        self.training = training
        self.run = Run(path.stem if path is not None else "run", training.describe())
        self.run.motivation = motivation
        self.run.metadata = surroundings()
        self._schedule = Schedule(every, max_overhead)
        self._recorder = Recorder(self._schedule, self.run.record, self.run.trace.append)
        Controls.__init__(self, Steering(training.optimizers))
        OwnNumbers.__init__(self, self.run, self._recorder)
        self._troubles = Troubles()
        self._subscribers = Subscribers(self._troubles.report)
        self._silenced: dict[str, str] = {}
        self._pace = Pace()
        self._attached = True
        wanted = choose_probes(probes)
        self._fixed = FixedBatch(training, self._recorder) if "fixed_batch" in wanted else None
        self._attachment = Attachment(
            self._recorder,
            training.model,
            training.loss_fn,
            training.loaders,
            on_epoch=self.run.add_epoch,
            on_step=self._on_step,
            on_other=training.note_other_step,
            on_batch=self._fixed.offer if self._fixed is not None else None,
            chosen=wanted,
            modules=choose_layers(training.model, layers),
            keep_samples=keep_samples,
        )
        training.recorded = self._attachment.tape
        for optimizer in training.optimizers:
            self._attachment.add_optimizer(optimizer)
        self._finder = OptimizerFinder(self._recorder, self._on_optimizer)
        if not training.optimizers:
            self._finder.attach()
        if path is not None and is_first_rank():
            self._write_to(path)

    def __enter__(self) -> Inspector:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()

    def __repr__(self) -> str:
        state = "watching" if self._attached else "detached from"
        return f"<Inspector {state} {type(self.training.model).__name__}: {self.run.steps} steps, {self.overhead}>"

    # what was found

    def check(self, name: str, *, seconds: float = 15.0, **options: Any) -> Finding:
        """Make one check of the catalogue.

        Args:
            name: its name, see `catalog()`.
            seconds: budget for its experiments; 0 forbids them.
            options: the check's own options.

        Raises:
            ArgumentError: there is no such check or option, or the time is no number of seconds.

        Example:
            >>> inspector.check("initial_loss").severity
            'ok'
        """
        check = find_check(name)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
            raise ArgumentError("seconds", expected="seconds from 0", got=repr(seconds), advice="15.0 is usual.")
        with self._for_a_look():
            finding = examine(check, Subject(self.training, self.run, seconds), options)
        if name in self._silenced:
            finding = finding.silenced(self._silenced[name])
        self.note(finding)
        return finding

    def diagnose(self, *, active: bool = True, budget: float = 30.0) -> Diagnosis:
        """Say what is wrong, the likeliest cause first.

        Args:
            active: whether experiments on copies may be made. Your model, optimizer and random state are left alone.
            budget: seconds for all checks together.

        Raises:
            ArgumentError: the budget is not a positive number.
        """
        if not isinstance(budget, int | float) or not budget > 0:
            raise ArgumentError("budget", expected="seconds above 0", got=repr(budget), advice="30.0 is usual.")
        with self._for_a_look():
            subject = Subject(self.training, self.run, budget)
            result = diagnose(subject, checks(), active=active, budget=budget, silenced=self._silenced)
        for finding in result.findings:
            self.note(finding)
        return result

    def glance(self) -> list[Finding]:
        """What the passive checks say now. It may be called in the middle of a training, and notes nothing."""
        passive = [check for check in checks() if check.info.kind == "passive"]
        with self._recorder.suspend():
            subject = Subject(self.training, self.run, seconds=0.0)
            return diagnose(subject, passive, active=False, silenced=self._silenced).findings

    def note(self, finding: Finding) -> None:
        """Let a finding take the place of what its check found before."""
        self.run.add_finding(finding)

    def silence(self, check: str, reason: str) -> None:
        """Let a check raise nothing more in this training: you know what it sees, and it is meant to be so.

        What it found, and from now on finds, is still listed, as a remark with your reason.

        Args:
            check: its name, see `catalog()`.
            reason: why, in your words.

        Raises:
            ArgumentError: there is no such check, or no reason.

        Example:
            >>> inspector.silence("shuffling", "the items are a time series")
        """
        known = find_check(check).info.name
        if not isinstance(reason, str) or not reason.strip():
            raise ArgumentError("reason", expected="a text", got=repr(reason), advice="Say why, in your words.")
        self._silenced[known] = reason
        found = self.run.finding(known)
        if found is not None:
            self.note(found.silenced(reason))

    def unsilence(self, check: str) -> None:
        """Let a silenced check speak again, from its next look on.

        Raises:
            ArgumentError: it is not silenced.
        """
        if check not in self._silenced:
            known = ", ".join(self._silenced) or "none"
            raise ArgumentError(
                "check", expected="a silenced check", got=repr(check), advice=f"These are silenced: {known}."
            )
        del self._silenced[check]

    @property
    def findings(self) -> list[Finding]:
        """The latest finding of each check that was made."""
        return self.run.findings

    @property
    def overhead(self) -> Overhead:
        """What watching cost so far."""
        account = self._schedule
        share = account.own / account.total if account.total else 0.0
        return Overhead(share, account.own, account.total, account.first, account.measured, self.run.steps)

    @property
    def problems(self) -> list[str]:
        """What could not be measured, and why: silence would be worse."""
        failures = [*self._attachment.failures, *filter(None, [self._finder.failure])]
        found = [*self._troubles, *failures, *self._attachment.silences]
        if self.run.steps >= 2 and "loss" in self._attachment.chosen and self.run.last("loss", "train") is None:
            found.append("No loss was seen. Pass loss_fn=... as a module, or log it with inspector.log(loss=...).")
        anew = self.run.begun_anew
        if anew:
            found.append(
                f"Since a layer has another width, these begin anew, without what came before: {', '.join(anew)}."
            )
        return found

    # views

    @property
    def layers(self) -> list[str]:
        """Names of the modules whose outputs are measured."""
        return self._attachment.layers

    @property
    def max_overhead(self) -> float:
        """Share of the training time that watching may cost."""
        return self._schedule.max_overhead

    def dashboard(self, *, compare: Any = None, panels: Sequence[str] | None = None) -> Any:
        """The live panels, as a widget.

        Args:
            compare: another run or inspector, or the name or path of a run file; or up to three of them in a list. Their loss, metrics and gradient norm
                are drawn in grey behind those of this one, up to the step that is shown.
            panels: names of those to show first, such as `["loss", "worst_items"]`; docs/panels.md has them all. None: four that say most.

        Raises:
            ArgumentError: `compare` is no run, this one, or too many; `panels` has a name that no panel has.
            RunFileError: the file is no run file.
        """
        return open_view("dashboard", self, compare=compare, panels=panels)

    def wizard(self) -> Any:
        """The checklist, step by step, as a widget."""
        return open_view("wizard", self)

    def progress(self, loader: Iterable[Any], **options: Any) -> Any:
        """A loader with a tqdm bar that shows the latest loss and what was logged. It hands out the same batches.

        Args:
            loader: what the loop goes over, such as a `DataLoader`.
            options: for tqdm, such as `desc` or `leave`. It is drawn twice a second at most unless `mininterval` says otherwise.

        Returns:
            What to go over instead, as often as you like; its length is the loader's.

        Raises:
            ArgumentError: `loader` cannot be gone over.
            InspectorError: tqdm is not installed.

        Example:
            >>> loader = inspector.training.train_loader
            >>> for inputs, target in inspector.progress(loader):  # epoch 2: 100%|████| 6/6 [00:02<00:00, 3.1it/s, loss=0.21]
            ...     pass
        """
        return open_view("progress", self, loader, options)

    def report(self, path: str | os.PathLike[str] = "report.html") -> Path:
        """Write what is known of this training into one HTML file that needs no network: findings, pictures, parameters.

        Args:
            path: where to; an older report there is replaced.

        Returns:
            The path.

        Raises:
            ArgumentError: `path` is no path, or its folder does not exist.
        """
        return self.run.report(path)

    def look_up_items(
        self, indices: Sequence[int], make: Callable[[Any], Any], *, seconds: float = 2.0
    ) -> dict[int, Any]:
        """What is made of items of the train loader's data set, while no step is being made. Nothing is kept or recorded.

        Your data set and what is random are left as they were. What it makes at random may be something else each time.

        Args:
            indices: numbers of items, as the sampler gives them.
            make: called with each item.
            seconds: no further item is asked for after so long.

        Returns:
            What was made, by the number of the item.

        Raises:
            InspectorError: a training runs, there is no data set that can be asked, or asking failed.

        Example:
            >>> inspector.settle()
            >>> inspector.look_up_items([0], len)
            {0: 2}
        """
        if self.is_training:
            raise InspectorError("Items are looked up while no training runs.")
        with self._recorder.suspend():
            return look_up(self.training.train_loader, indices, make, seconds=seconds)

    def subscribe(
        self, after_step: Callable[[], None], before_waiting: Callable[[], None] | None = None
    ) -> Callable[[], None]:
        """Call a function after each optimizer step, in the training's thread.

        Args:
            after_step: it should return at once, unless it has something to do.
            before_waiting: called when a paused training begins to wait, and by `renew_views()`, to show it as it stands.

        Returns:
            A function that ends this.
        """
        return self._subscribers.add(after_step, before_waiting or after_step)

    @property
    def is_attached(self) -> bool:
        """Whether it watches still: `detach()` ends that."""
        return self._attached

    @property
    def is_training(self) -> bool:
        """Whether steps are being made now."""
        return self._steering.is_waiting or (self._attached and self._pace.is_running)

    def settle(self) -> None:
        """The loop has ended, for now: hand on all that was measured and leave nothing on torch's stacks."""
        self._pace.settle()
        self._attachment.settle()

    def detach(self) -> None:
        """Take all hooks off. What was measured stays."""
        if self._attached:
            self._attached = False
            self._attachment.detach()
            self._finder.detach()
            self._subscribers.clear()
            if self._fixed is not None:
                self._fixed.forget()
            self.run.close()

    def add_optimizer(self, optimizer: Optimizer) -> None:
        """Watch one more optimizer of this model."""
        self.training.add_optimizer(optimizer)
        self._attachment.add_optimizer(optimizer)
        self.run.parameters = self.training.describe()

    def _on_optimizer(self, optimizer: Optimizer) -> None:
        if optimizer not in self.training.optimizers and self.training.owns(optimizer):
            self.add_optimizer(optimizer)

    def _on_step(self) -> None:
        self.run.steps = self._recorder.step
        self.training.note_step()
        self._pace.note_step()
        if self._fixed is not None:
            self._fixed.after_step()
        self._schedule.shown(self._subscribers.tell(waiting=False))
        if self._steering.is_asked:
            self._follow_requests()

    def _follow_requests(self) -> None:
        self._schedule.stop()  # a pause is no cost of ours
        try:
            stop, rates = self._steering.at_step_boundary(self._before_waiting)
        finally:
            self._schedule.start()
        for change in rates:
            self.run.note(change.words)
        if stop:
            self.settle()
            raise TrainingStopped(self.run.steps)

    def _before_waiting(self) -> None:
        """What stands still is shown as it is."""
        self._recorder.flush()
        self._subscribers.tell(waiting=True)

    def _write_to(self, path: Path) -> None:
        try:
            self.run.write_to(path, self._troubles.report)
        except OSError as error:
            self._troubles.report(f"The run cannot be written to {path} ({error}). It is kept in memory only.")

    def _for_a_look(self) -> Any:
        self.settle()
        self.run.parameters = self.training.describe()
        self.training.clipping = clipping_of(self.run.trace)
        return self._recorder.suspend()
