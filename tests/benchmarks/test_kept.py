from benchmarks.diagnosis.answer import Answer
from benchmarks.diagnosis.kept import Kept
from benchmarks.diagnosis.tasks import Task

TASKS = [Task(name, "kind", "broken", frozenset({"learning_rate"})) for name in ("a", "b", "c")]


def test_answers_are_known_after_an_interruption(tmp_path):
    path = tmp_path / "answers.jsonl"
    kept = Kept(path)
    assert kept.answers(TASKS) == []
    told = [Answer((("learning_rate", "error"),), 1.5, unlooked=("nonfinite",)), Answer(failure="it took too long")]
    for task, answer in zip(TASKS, told, strict=False):
        kept.add(task, answer)
    assert Kept(path).answers(TASKS) == list(zip(TASKS, told, strict=False))


def test_nothing_is_kept_where_no_file_is_named():
    kept = Kept(None)
    kept.add(TASKS[0], Answer())
    assert Kept(None).answers(TASKS) == []
