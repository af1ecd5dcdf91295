import json
import time

import pytest
import torch

import nn_inspector as nni
from nn_inspector.diagnosis import Diagnosis, ranked
from nn_inspector.history import Finding
from tests.checks.test_catalog import own_check, registered  # noqa: F401 - a fixture
from tests.trainings import blobs, classifier, classifier_of, sorted_by_label, watch

HELPED = nni.Trial([2.0, 2.0], [2.0, 0.1], helped=True)


def found(check, severity, tried=None):
    return nni.Finding(check, severity, f"{check} says {severity}.", remedy=nni.Remedy("Do it.", "pass", tried))


def test_a_sound_training_has_no_cause():
    case = classifier()
    with watch(case) as inspector:
        case.run(4)
        diagnosis = inspector.diagnose(budget=300)
    assert diagnosis.causes == []
    assert not any(finding.raised or "failed itself" in finding.message for finding in diagnosis.findings)
    assert str(diagnosis).startswith("Nothing wrong was found by ")
    assert inspector.findings


def test_three_mistakes_at_once_are_all_named():
    case = classifier(data=sorted_by_label(blobs(600, spread=2.5)), shuffle=False, lr=0.5, weight_decay=1.0)
    with watch(case) as inspector:
        case.run(4, zero_grad=False)
        diagnosis = inspector.diagnose(budget=300)
    assert {finding.check for finding in diagnosis.causes} == {"zeroed_gradients", "shuffling", "regularization_share"}
    assert all(finding.severity == "error" for finding in diagnosis.causes)
    text = str(diagnosis)
    assert text.startswith("3 likely causes were found.\n1. [error]")
    assert text.count("Remedy: ") == 3


def test_what_an_experiment_proved_comes_first(registered):  # noqa: F811
    registered(lambda subject: found("one", "error"), "one")
    registered(lambda subject: found("two", "error", HELPED), "two")
    registered(lambda subject: found("three", "warning", HELPED), "three")
    case = classifier()
    with watch(case) as inspector:
        diagnosis = inspector.diagnose(budget=5)
    assert [finding.check for finding in diagnosis.findings][:3] == ["two", "three", "one"]


def test_a_symptom_stands_under_its_cause(registered):  # noqa: F811
    registered(lambda subject: found("enough_items", "error"))
    nni.register_check(own_check(lambda subject: found("initial_loss", "warning"), "initial_loss"))
    try:
        case = classifier()
        with watch(case) as inspector:
            diagnosis = inspector.diagnose(budget=300)
    finally:
        nni.unregister_check("initial_loss")
    assert [finding.check for finding in diagnosis.causes] == ["enough_items"]
    assert [finding.check for finding in diagnosis.symptoms(diagnosis.causes[0])] == ["initial_loss"]
    assert "explains initial_loss" in str(diagnosis)


def test_without_experiments_it_is_quick_and_says_what_it_left_out():
    case = classifier(weight_decay=2.0)
    with watch(case) as inspector:
        case.run(3)
        begin = time.monotonic()
        diagnosis = inspector.diagnose(active=False)
        assert time.monotonic() - begin < 1
    active = [info.name for info in nni.catalog() if info.kind == "active"]
    assert diagnosis.left_out == dict.fromkeys(active, "it makes an experiment, and active=False")
    assert all(finding.remedy is None or finding.remedy.tried is None for finding in diagnosis.findings)
    assert "Left out: one_batch_fit" in str(diagnosis)


@pytest.mark.parametrize(
    ("severities", "left_out", "headline"),
    [
        (["ok", "ok"], {}, "Nothing wrong was found by 2 checks."),
        (["ok", "skipped"], {"x": "why"}, "Nothing wrong was found by 1 check. 2 could not be made; see below why."),
        (["skipped"], {}, "No check could be made; see below why."),
    ],
)
def test_what_was_not_looked_at_is_in_the_headline(severities, left_out, headline):
    findings = [found(f"check {number}", severity) for number, severity in enumerate(severities)]
    assert str(Diagnosis(findings, left_out)).splitlines()[0] == headline


def test_a_budget_that_is_used_up_is_said(registered):  # noqa: F811
    def slow(subject):
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            pass
        return found("slow", "ok")

    registered(slow, "slow")
    info = nni.CheckInfo("late", "fit", "active", "Late?", "Why.", "How.", "Remedy.", ())
    nni.register_check(nni.Check(info, lambda subject: found("late", "ok")))
    case = classifier()
    with watch(case) as inspector:
        diagnosis = inspector.diagnose(budget=0.05)
    assert diagnosis.left_out["late"] == "the budget of 0.05 s was used up"


@pytest.mark.parametrize("budget", [0, -1, float("nan"), "long", None])
def test_a_budget_that_is_none_is_refused(budget):
    case = classifier()
    with watch(case) as inspector, pytest.raises(nni.ArgumentError, match="budget: expected seconds above 0"):
        inspector.diagnose(budget=budget)


def test_it_goes_into_json_html_and_text():
    diagnosis = Diagnosis([found("initial_loss", "error", HELPED), found("shuffling", "ok")], {"one_batch_fit": "why"})
    data = json.loads(json.dumps(diagnosis.to_json(), allow_nan=False))
    assert [finding["check"] for finding in data["findings"]] == ["initial_loss", "shuffling"]
    html = diagnosis._repr_html_()
    for text in (
        "1 likely cause was found",
        "initial_loss",
        "Do it.",
        "0.1 in 1 step with it",
        "Left out: one_batch_fit",
    ):
        assert text in html


def test_a_finding_does_not_explain_itself():
    lost = Finding("nonfinite", "error", "The loss is NaN.")
    grown = Finding("divergence", "warning", "The loss grew.")
    diagnosis = Diagnosis([lost, grown], {})
    assert diagnosis.causes == [lost]
    assert diagnosis.symptoms(lost) == [grown]
    assert "explains nonfinite" not in str(diagnosis)


def test_a_last_bias_that_begins_far_away_is_not_what_a_layer_of_three_units_suffers_from():
    bias, narrow = (Finding(name, "error", "No.", basis="experiment") for name in ("output_bias", "capacity"))
    assert ranked([bias, narrow]) == [narrow, bias]
    assert Diagnosis([bias, narrow], {}).causes == [narrow]


class Clock:
    """A clock that only slow models move."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Slow(torch.nn.Linear):
    """A network that takes so many seconds for each pass."""

    clock = None

    def forward(self, inputs):
        self.clock.now += self.seconds
        return super().forward(inputs)


@pytest.mark.parametrize("seconds", [0.3, 1.5])
def test_no_pass_of_an_experiment_begins_when_the_budget_is_used_up(monkeypatch, seconds):
    clock = Clock()
    model = Slow(8, 4)
    model.seconds = seconds
    case = classifier_of(model, optimizer=torch.optim.SGD, lr=1e-5)
    monkeypatch.setattr(Slow, "clock", clock)
    with watch(case, val_loader=case.train_loader) as inspector:
        case.run(1)
        monkeypatch.setattr(time, "monotonic", clock)
        begin = clock()
        diagnosis = inspector.diagnose(budget=10)
    assert 8 < clock() - begin <= 10 + seconds
    assert "the budget of 10 s was used up" in diagnosis.left_out.values()
    assert not any("There was no time left" in finding.message for finding in diagnosis.findings)
