"""The diagnosis of some trainings of the suite: it names the cause, and is quiet where nothing is wrong."""

import time

import pytest
import torch

from benchmarks.diagnosis.answer import answer, ours_active
from benchmarks.diagnosis.counting import names_cause, verdict
from benchmarks.diagnosis.tasks import all_tasks

TASKS = {(task.id, task.role): task for task in all_tasks()}

BROKEN = [
    "GH-FL-MRCM-10",
    "GH-graphstorm-1366",
    "GH-pytorch-3336",
    "SO-56103207-qd",
    "own-maximize",
    "own-optimizer-of-the-other-network",
]

SOUND = [
    "binary_logits",
    "contextual_bandit",
    "exact_function_to_zero_loss",
    "graph_in_one_batch",
    "summed_loss_with_a_fitting_rate",
    "zero_last_layer",
]


@pytest.fixture(autouse=True)
def _one_process_by_itself(monkeypatch):
    """The same answers on a machine that has other work: one thread, and budgets in processor time."""
    threads = torch.get_num_threads()
    monkeypatch.setattr(time, "monotonic", time.process_time)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", BROKEN)
def test_the_cause_of_a_fault_is_named_first(name):
    task = TASKS[name, "broken"]
    found = answer(task, ours_active)
    assert found.failure is None
    assert names_cause(task, found), verdict(task, found)


@pytest.mark.parametrize("name", BROKEN[1:])
def test_of_its_repaired_twin_nothing_is_said(name):
    found = answer(TASKS[name, "repaired"], ours_active)
    assert (found.failure, found.findings) == (None, ())


@pytest.mark.parametrize("name", SOUND)
def test_of_a_sound_training_nothing_is_said(name):
    found = answer(TASKS[name, "healthy"], ours_active)
    assert (found.failure, found.findings) == (None, ())


def test_they_are_of_many_kinds_and_none_of_them_is_kept_apart():
    chosen = [task for (name, _), task in TASKS.items() if name in {*BROKEN, *SOUND}]
    assert {task.part for task in chosen} == {"set"}
    broken = [task for task in chosen if task.role == "broken"]
    assert len({task.kind for task in broken}) == len(BROKEN)
