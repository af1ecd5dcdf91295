import re

import pytest

import nn_inspector as nni
from nn_inspector.checks import STAGES, checks, find_check

NAMES = [info.name for info in nni.catalog()]


def test_the_steps_come_stage_by_stage():
    stages = [info.stage for info in nni.catalog()]
    assert stages == sorted(stages, key=list(STAGES).index)
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_complete_and_reads_well(name):
    info = find_check(name).info
    assert info.stage in STAGES
    assert info.question.endswith("?")
    assert info.sources
    for text in (info.why, info.how, info.remedy):
        assert len(text) > 30
        assert text.endswith(".")
        assert "  " not in text
        assert all(len(sentence.split()) <= 40 for sentence in re.split(r"(?<=[.:;]) ", text)), text


@pytest.mark.parametrize("name", NAMES)
def test_every_check_says_skipped_when_there_is_nothing_to_look_at(name):
    import torch

    model = torch.nn.Linear(2, 2)
    with nni.watch(model) as inspector:
        finding = inspector.check(name)
    assert finding.severity == "skipped"
    assert finding.check == name
    assert len(finding.message) > 20


@pytest.mark.parametrize("name", NAMES)
def test_explain_tells_the_whole_story(name):
    text, info = nni.explain(name), find_check(name).info
    for part in (info.question, info.why, info.how, info.remedy, *info.sources):
        assert part in text


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("initial", "Perhaps you mean: initial_loss"),
        ("Gradients", "zeroed_gradients"),
        ("shufling", "Perhaps you mean: shuffling"),
        ("", "catalog\\(\\) lists them"),
        (3, "catalog"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, advice):
    with pytest.raises(nni.ArgumentError, match=advice):
        nni.explain(name)


def own_check(look, name="enough_items"):
    info = nni.CheckInfo(
        name, "data", "passive", "Enough?", "Why.", "How.", "Remedy.", ("us",), explains=("initial_loss",)
    )
    return nni.Check(info, look)


@pytest.fixture
def registered():
    def register(look, name="enough_items"):
        nni.register_check(own_check(look, name))

    yield register
    for check in checks():
        if check.info.name not in NAMES:
            nni.unregister_check(check.info.name)


def test_a_check_of_the_users_joins_catalogue_and_diagnosis(registered):
    import torch

    registered(lambda subject: nni.Finding("enough_items", "error", "Only three."))
    assert [info.name for info in nni.catalog()][-1] == "enough_items"
    with nni.watch(torch.nn.Linear(2, 2)) as inspector:
        diagnosis = inspector.diagnose(budget=5.0)
    assert diagnosis.findings[0].message == "Only three."


def test_a_check_that_fails_does_not_take_the_diagnosis_with_it(registered):
    import torch

    registered(lambda subject: 1 / 0)
    with nni.watch(torch.nn.Linear(2, 2)) as inspector:
        finding = inspector.check("enough_items")
    assert finding.severity == "skipped"
    assert "ZeroDivisionError: division by zero" in finding.message
    assert "nothing of yours changed" in finding.message


def test_options_of_a_check_are_checked():
    import torch

    with nni.watch(torch.nn.Linear(2, 2)) as inspector:
        with pytest.raises(
            nni.ArgumentError, match=r"itmes: expected an option of one_batch_fit.*It has: items, steps"
        ):
            inspector.check("one_batch_fit", itmes=3)
        with pytest.raises(nni.ArgumentError, match=r"It has none"):
            inspector.check("zeroed_gradients", items=3)
        for items in (0, 2.5, None, True):
            with pytest.raises(
                nni.ArgumentError, match=r"items: expected a whole number from 1, got .*16 is what it has"
            ):
                inspector.check("one_batch_fit", items=items)
        for seconds in (None, -1, True):
            with pytest.raises(nni.ArgumentError, match="seconds: expected seconds from 0"):
                inspector.check("shuffling", seconds=seconds)
        with pytest.raises(nni.ArgumentError, match="expected the name of a check, got \\['shuffling'\\]"):
            inspector.check(["shuffling"])


def test_only_checks_can_be_registered():
    with pytest.raises(nni.ArgumentError, match=r"expected a Check, got a function"):
        nni.register_check(lambda subject: None)
    broken = nni.CheckInfo("x", "nowhere", "passive", "?", "", "", "", ())
    with pytest.raises(nni.ArgumentError, match="expected a stage among data, init"):
        nni.register_check(nni.Check(broken, lambda subject: None))


def test_one_of_ours_comes_back_after_it_was_replaced():
    original = find_check("shuffling")
    nni.register_check(own_check(lambda subject: None, "shuffling"))
    assert find_check("shuffling") is not original
    nni.unregister_check("shuffling")
    assert find_check("shuffling") is original
    assert [info.name for info in nni.catalog()] == NAMES
    with pytest.raises(nni.ArgumentError, match="expected the name of a check you registered, got one of ours"):
        nni.unregister_check("shuffling")
