import pytest

from benchmarks.diagnosis import __main__ as command
from benchmarks.diagnosis.answer import Answer
from benchmarks.diagnosis.counting import score
from benchmarks.diagnosis.targets import missed
from benchmarks.diagnosis.tasks import Task

NAMED, LATE, SYMPTOM = (("cause",),), (("other",), ("cause",)), (("symptom",),)
HUNDREDTHS = 100


def told(*checks):
    return Answer(tuple((check, "error") for (check,) in checks))


def broken(*, first=0, later=0, noticed=0):
    """A hundred broken trainings, so many of them with the cause first, with it later on, and with a symptom only."""
    said = [NAMED] * first + [LATE] * later + [SYMPTOM] * noticed
    said += [()] * (HUNDREDTHS - len(said))
    task = Task("a", "kind", "broken", frozenset({"cause"}), frozenset({"symptom"}))
    return [(task, told(*checks)) for checks in said]


def sound(*, error=0, warning=0):
    """A hundred sound trainings, half of them repaired twins, so many of them with an alarm."""
    said = ["error"] * error + ["warning"] * warning + [None] * (HUNDREDTHS - error - warning)
    roles = ("repaired", "healthy") * (HUNDREDTHS // 2)
    return [
        (Task("a", "kind", role), Answer((("cause", one),) if one else ()))
        for role, one in zip(roles, said, strict=True)
    ]


@pytest.mark.parametrize(
    ("outcomes", "misses"),
    [
        (broken(first=75, later=15, noticed=7), []),
        (broken(first=74, later=16, noticed=7), ["cause first: 74 of 100 (74%), and 75% is the target."]),
        (broken(first=75, later=14, noticed=8), ["cause among the first 3: 89 of 100 (89%), and 90% is the target."]),
        (broken(first=90, noticed=6), ["noticed: 96 of 100 (96%), and 97% is the target."]),
        (sound(warning=2), []),
        (sound(warning=3), ["warning on sound trainings: 3 of 100 (3%), and 2% is the most."]),
        (sound(error=1), ["error on sound trainings: 1 of 100 (1%), and 0% is the most."]),
        ([(Task("a", "kind", "healthy"), Answer(failure="why"))], ["without an answer: 1 of 1 (100%)."]),
    ],
)
def test_what_is_missed_is_said(outcomes, misses):
    assert missed(score(outcomes)) == misses


@pytest.mark.parametrize(
    ("answers", "options", "status"),
    [
        ({"set": "cause", "held-out": "cause"}, ["--hold"], 0),
        ({"set": "cause", "held-out": "other"}, ["--hold"], 1),
        ({"set": "other", "held-out": "cause"}, ["--hold"], 0),
        ({"set": "other"}, ["--hold"], 1),
        ({"set": "cause", "held-out": "other"}, [], 0),
    ],
)
def test_the_command_fails_where_the_targets_are_to_hold_and_do_not(monkeypatch, capsys, answers, options, status):
    tasks = {part: Task(part, "kind", "broken", frozenset({"cause"})) for part in answers}
    monkeypatch.setattr(Task, "part", property(lambda task: task.id))
    monkeypatch.setattr(command, "all_tasks", lambda **_: list(tasks.values()))
    monkeypatch.setattr(command, "_run", lambda *_: [(tasks[part], told((said,))) for part, said in answers.items()])
    assert command.main(options) == status
    assert ("Missed: cause first" in capsys.readouterr().err) == bool(status)
