import pytest

import nn_inspector as nni
from tests.trainings import blobs, classifier


def watched(case, epochs=3, **options):
    inspector = nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader)
    case.run(epochs, **options)
    return inspector


@pytest.fixture(scope="module")
def broken():
    with watched(classifier(data=blobs(600, spread=2.5), lr=0.5), 4, zero_grad=False) as inspector:
        yield inspector


def test_a_sound_training_passes_and_gives_its_diagnosis():
    with watched(classifier()) as inspector:
        assert nni.assert_healthy(inspector, warnings=True, active=False).causes == []


@pytest.mark.parametrize("active", [True, False])
def test_what_is_wrong_stands_in_the_message(broken, active):
    with pytest.raises(AssertionError) as raised:
        nni.assert_healthy(broken, active=active)
    assert str(raised.value).startswith("This training is not healthy: 1 finding.\n[error] zeroed_gradients: ")
    assert "Remedy: " in str(raised.value)


@pytest.mark.parametrize("ignore", ["zeroed_gradients", ["zeroed_gradients"], {"zeroed_gradients": "meant so"}])
def test_what_is_ignored_does_not_fail(broken, ignore):
    nni.assert_healthy(broken, ignore=ignore, active=False)


def test_warnings_count_where_they_are_to():
    nni.register_check(
        nni.Check(
            nni.CheckInfo("enough_items", "data", "passive", "Enough?", "Why.", "How.", "Remedy.", ()),
            lambda subject: nni.Finding("enough_items", "warning", "Only three."),
        )
    )
    try:
        with watched(classifier()) as inspector:
            nni.assert_healthy(inspector, active=False)
            with pytest.raises(AssertionError, match=r"\[warning\] enough_items: Only three\."):
                nni.assert_healthy(inspector, warnings=True, active=False)
    finally:
        nni.unregister_check("enough_items")


def test_bad_input_is_named():
    with pytest.raises(nni.ArgumentError, match="inspector: expected what watch"):
        nni.assert_healthy(classifier().model)
    with watched(classifier(), epochs=1) as inspector, pytest.raises(nni.ArgumentError, match="shuffling"):
        nni.assert_healthy(inspector, ignore=["shufling"])
