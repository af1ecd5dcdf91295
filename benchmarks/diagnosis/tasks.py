"""What is to be diagnosed: a training from one seed, and what a right answer is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.scenes import Scene, all_faults, all_healthy, held_out

Role = Literal["broken", "repaired", "healthy"]
Part = Literal["set", "held-out"]

PARTS: tuple[Part, ...] = ("set", "held-out")
"""What thresholds were set on, and what was kept apart."""


@dataclass(frozen=True, slots=True)
class Task:
    """One training to diagnose.

    Attributes:
        id, kind: of the fault or of the sound training.
        role: a broken training, its repaired twin, or one that was sound all along.
        causes: the checks that name the cause; empty where nothing is wrong.
        symptoms: the checks that may stand beside or below it.
        seed: what it is built from.
    """

    id: str
    kind: str
    role: Role
    causes: frozenset[str] = frozenset()
    symptoms: frozenset[str] = frozenset()
    seed: int = 0

    @property
    def part(self) -> Part:
        """The part of the suite that it belongs to."""
        return "held-out" if held_out(self.id) else "set"

    @property
    def name(self) -> str:
        """What it is called in lists."""
        return f"{self.id} ({self.role}, seed {self.seed})"

    def build(self) -> Scene:
        """Its model, loop and so on, made anew."""
        if self.role == "healthy":
            return next(entry for entry in all_healthy() if entry.id == self.id).build(self.seed)
        return next(entry for entry in all_faults() if entry.id == self.id).build(self.role == "repaired", self.seed)


def all_tasks(
    *, seeds: Sequence[int] = (0,), only: str = "", parts: Iterable[Part] = PARTS, sound: bool = True
) -> list[Task]:
    """The trainings to diagnose.

    Args:
        seeds: each training is built from each of them.
        only: a regular expression; one of id, kind and names of causes must contain it.
        parts: which parts of the suite.
        sound: whether repaired twins and sound trainings are among them.
    """
    found = [
        Task(fault.id, fault.kind, role, fault.causes if role == "broken" else frozenset(), symptoms, seed)
        for fault in all_faults()
        if _matches(only, fault.id, fault.kind, *fault.causes)
        for role, symptoms in _twins(fault.symptoms, sound=sound)
        for seed in seeds
    ]
    if sound:
        found += [
            Task(entry.id, entry.kind, "healthy", seed=seed)
            for entry in all_healthy()
            if _matches(only, entry.id, entry.kind)
            for seed in seeds
        ]
    return [task for task in found if task.part in set(parts)]


def _twins(symptoms: frozenset[str], *, sound: bool) -> list[tuple[Role, frozenset[str]]]:
    broken: list[tuple[Role, frozenset[str]]] = [("broken", symptoms)]
    return [*broken, ("repaired", frozenset())] if sound else broken


def _matches(pattern: str, *texts: str) -> bool:
    return any(re.search(pattern, text, re.IGNORECASE) for text in texts)
