import gc
import weakref

import pytest

import nn_inspector as nni
from nn_inspector.errors import ArgumentError
from nn_inspector.watching import current_inspector, on_watch
from tests.trainings import classifier


def watch(case, **options):
    return nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, show=False, **options)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("every", 0),
        ("every", True),
        ("every", "often"),
        ("max_overhead", 0),
        ("max_overhead", 3),
        ("max_overhead", "3 %"),
        ("motivation", 3),
        ("keep_samples", "yes"),
        ("probes", "lots"),
        ("layers", "no.such.layer"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_attached(argument, value):
    case = classifier()
    with pytest.raises(ArgumentError, match=argument):
        watch(case, **{argument: value})
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in case.model.modules())


def test_the_inspector_made_last_is_the_current_one_until_it_is_detached():
    first, second = watch(classifier()), watch(classifier())
    assert current_inspector() is second
    second.detach()
    assert current_inspector() is None
    assert first.is_attached
    first.detach()


def test_watching_a_model_again_takes_the_earlier_hooks_off():
    case = classifier()
    earlier = watch(case)
    with watch(case) as later:
        case.run(1)
    assert not earlier.is_attached
    assert (earlier.run.steps, later.run.steps) == (0, 6)


def test_of_several_models_that_are_watched_again_each_has_its_latest_inspector_alone():
    cases = [classifier(), classifier()]
    earlier, later = ([watch(case) for case in cases] for _ in range(2))
    for case in cases:
        case.run(1)
    assert [inspector.is_attached for inspector in earlier] == [False, False]
    assert [inspector.run.steps for inspector in (*earlier, *later)] == [0, 0, 6, 6]
    assert [len(case.optimizer._optimizer_step_pre_hooks) for case in cases] == [1, 1]
    for inspector in later:
        inspector.detach()


def test_an_inspector_that_nobody_keeps_lives_as_long_as_its_model(tmp_path):
    case, other = classifier(), classifier()
    made = weakref.ref(watch(case, run=tmp_path / "first.sqlite"))
    with watch(other):
        gc.collect()
        case.run(1)
        made().detach()
    assert nni.open_run(tmp_path / "first.sqlite").steps == 6
    made = weakref.ref(watch(case))
    with watch(other):
        del case
        gc.collect()
    assert made() is None


def test_listeners_hear_of_the_present_inspector_and_of_later_ones_until_they_leave():
    heard = []
    with watch(classifier()) as present:
        leave = on_watch(heard.append)
    with watch(classifier()) as later:
        leave()
    with watch(classifier()):
        pass
    assert heard == [present, later]
