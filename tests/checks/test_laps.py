import math

import pytest
import torch
from torch import nn

import nn_inspector as nni
from nn_inspector.checks.base import Subject
from nn_inspector.checks.train.laps import FEWEST, Lap, laps_of, trial
from nn_inspector.checks.train.standing import Standing, single_pass, standing, takes_turns
from nn_inspector.history import Run
from nn_inspector.probes import TraceEntry
from tests.trainings import assert_equal, classifier, state_of


def subject_of(case, loop=None, seconds=60.0):
    inspector = nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, show=False)
    if loop is not None:
        loop(case)
    inspector.settle()
    return Subject(inspector.training, inspector.run, seconds)


def zero(copied):
    for group in copied.optimizers[0].param_groups:
        group["lr"] = 0.0


def test_laps_start_alike_and_differ_by_their_setting():
    subject = subject_of(classifier())
    laps = laps_of(subject)
    still = laps.lap("no rate", zero)
    assert laps.own.start == still.start == still.end > laps.own.end
    assert laps.lap("no rate") is still
    assert laps_of(subject) is laps
    assert laps.own.complete
    assert laps.own.steps == still.steps == laps.steps


def test_the_items_that_judge_are_not_trained_on():
    laps = laps_of(subject_of(classifier()))
    trained = torch.cat([batch[0] for batch in laps.batches])
    assert not (laps.judge[0].unsqueeze(1) == trained.unsqueeze(0)).all(-1).any()


def test_all_is_as_before():
    case = classifier(momentum=0.9)
    subject = subject_of(case, lambda c: c.run(2))
    before = state_of(case)
    laps_of(subject).lap("no rate", zero)
    laps_of(subject).now()
    assert_equal(before, state_of(case))


def test_progress_counts_from_chance_or_from_the_first_loss():
    laps = laps_of(subject_of(classifier()))
    assert laps.progress(laps.levels.chance) == 0
    assert laps.progress(0.0) == 1
    laps.levels = None
    assert laps.progress(laps.own.start) == 0
    assert laps.progress(0.0) == 1
    assert laps.progress(math.inf) == -math.inf


def test_a_loss_below_zero_counts_from_the_lowest_of_all_laps():
    case = classifier()
    case.loss_fn = lambda p, t: -p.log_softmax(1)[torch.arange(len(t)), t].mean() - 10
    laps = laps_of(subject_of(case))
    assert laps.levels is None
    assert laps.progress(min(laps.own.losses)) == 1


@pytest.mark.parametrize(("seconds", "message"), [(0.0, "no time left"), (1e-9, "says nothing")])
def test_too_little_time_is_no_race(seconds, message):
    with pytest.raises(nni.ExperimentError, match=message):
        laps_of(subject_of(classifier(), seconds=seconds))


def test_without_an_optimizer_there_is_no_race():
    case = classifier()
    with (
        nni.watch(case.model, None, case.loss_fn, train_loader=case.train_loader, show=False) as inspector,
        pytest.raises(nni.ExperimentError, match="No optimizer is known"),
    ):
        laps_of(Subject(inspector.training, inspector.run, 9.0))


def test_a_lap_that_explodes_is_complete_and_ends_nowhere():
    laps = laps_of(subject_of(classifier(lr=1e30)))
    assert laps.own.complete
    assert laps.own.end == math.inf
    assert laps.own.steps < FEWEST


def test_a_trial_shows_as_many_steps_of_both():
    shown = trial(Lap([2.0, math.nan], True), Lap([2.0, 1.0, 0.5], True))
    assert shown.treated == [2.0, 1.0, 0.5]
    assert shown.helped


@pytest.mark.parametrize(
    ("run", "own", "right", "other", "other_right", "missed"),
    [
        (0.0, 0.0, None, 0.9, None, True),
        (-math.inf, -math.inf, None, 0.5, None, True),
        (0.0, 0.0, None, 0.25, None, False),
        (0.5, 0.0, None, 0.9, None, False),
        (0.0, 0.5, None, 0.9, None, False),
        (-9.0, -9.0, 0.9, 0.9, 0.95, False),
        (-9.0, -9.0, 0.5, 0.9, 0.95, True),
        (0.0, 0.0, 0.5, 0.9, None, True),
        (0.65, 0.2, None, 0.99, None, True),
        (0.65, 0.2, None, 0.9, None, False),
        (-50.0, -20.0, 0.6, 0.05, 0.8, True),
        (-50.0, -20.0, 0.6, -0.05, 0.8, False),
    ],
)
def test_a_setting_is_at_fault_only_if_another_comes_far_further(run, own, right, other, other_right, missed):
    assert Standing(run, own, right).missed(other, other_right) is missed


def test_the_run_counts_with_its_present_weights():
    case = classifier()
    subject = subject_of(case, lambda c: c.run(20))
    place = standing(subject, laps_of(subject))
    assert place.run > 0.8
    assert place.right > 0.9
    with torch.no_grad():
        for parameter in case.model.parameters():
            parameter.zero_()
    fresh = Subject(subject.training, Run("empty", {}), 60.0)
    assert standing(fresh, laps_of(fresh)).run == standing(fresh, laps_of(fresh)).own


@pytest.mark.parametrize(
    ("calls", "turns", "single"),
    [
        (["forward", "backward", "step"], False, True),
        (["forward", "backward", "forward", "backward", "step"], False, False),
        (["forward", "backward", "backward", "backward", "step"], True, True),
        ([], False, True),
    ],
    ids=["plain", "accumulated", "three losses on one output", "nothing seen"],
)
def test_what_one_step_is_made_of(calls, turns, single):
    run = Run("traced", {})
    for step in range(4):
        run.trace.extend(TraceEntry(step, call, {}) for call in calls)
    run.trace.append(TraceEntry(3, "forward", {"phase": "validation"}))
    assert (takes_turns(run), single_pass(run)) == (turns, single)


def test_a_model_whose_batches_are_all_the_data_is_judged_by_them():
    case = classifier()
    case.train_loader = [next(iter(case.train_loader))]
    laps = laps_of(subject_of(case))
    assert len(laps.judge[0]) == len(laps.batches[0][0])
    assert isinstance(case.loss_fn, nn.CrossEntropyLoss)
