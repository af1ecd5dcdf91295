"""Answers kept in a file as they come, so that a long benchmark can be interrupted and goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.diagnosis.answer import Answer
from benchmarks.diagnosis.tasks import Task

OURS = "nn_inspector"


class Kept:
    """One line of JSON for each answer.

    Args:
        path: the file, or None to keep nothing. What it holds of another version counts as well: delete it after a change.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[tuple[str, str], Answer] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                self._known[entry.get("watcher", OURS), entry["task"]] = Answer.from_json(entry["answer"])

    def answers(self, tasks: Sequence[Task], watcher: str = OURS) -> list[tuple[Task, Answer]]:
        """What this watcher is known to have said of these trainings."""
        return [(task, self._known[watcher, task.name]) for task in tasks if (watcher, task.name) in self._known]

    def add(self, task: Task, answer: Answer, watcher: str = OURS) -> None:
        """Keep one more."""
        self._known[watcher, task.name] = answer
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                print(json.dumps({"watcher": watcher, "task": task.name, "answer": answer.to_json()}), file=file)
