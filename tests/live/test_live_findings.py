import pytest
import torch

import nn_inspector as nni
from nn_inspector.live import follow_findings, publisher
from nn_inspector.live.live_findings import LiveFindings
from nn_inspector.live.patience import Patience
from nn_inspector.panels.dashboard import Dashboard
from nn_inspector.panels.findings_strip import FindingsStrip, cause_html
from tests.trainings import blobs, classifier


def said(severity, message="Sorted."):
    return nni.Finding("shuffling", severity, message)


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_what_few_looks_say_is_no_news(looks):
    patience = Patience(looks)
    shown = [bool(patience.heed([said("error")])) for _ in range(looks + 1)]
    assert shown == [False] * (looks - 1) + [True, True]
    back = [patience.heed([said("ok")]) for _ in range(looks + 1)]
    assert [len(news) for news in back] == [0] * (looks - 1) + [1, 0]


def test_what_comes_and_goes_is_never_shown_and_never_taken_back():
    patience = Patience(3)
    pattern = [said("error"), said("error"), said("ok")] * 4
    assert not any(patience.heed([one]) for one in pattern)
    for _ in range(3):
        patience.heed([said("error")])
    assert all(not patience.heed([one]) or one.raised for one in [said("ok"), said("ok"), said("error")] * 4)


def test_a_mistake_is_seen_while_the_training_runs(monkeypatch):
    case = classifier(data=blobs(600, spread=2.5), lr=0.5)
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        monkeypatch.setattr(publisher.time, "monotonic", lambda: 10.0 * inspector.run.steps)
        follow_findings(inspector)
        case.run(3, zero_grad=False)
        found = inspector.run.finding("zeroed_gradients")
    assert found is not None
    assert found.raised
    assert inspector.run.finding("one_batch_fit") is None, "it makes an experiment"


def test_looking_changes_nothing():
    after = []
    for followed in (False, True):
        torch.manual_seed(0)
        case = classifier()
        with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
            if followed:
                inspector.subscribe(lambda inspector=inspector: inspector.glance() and None)
            case.run(4)
        after.append([*(p.detach().clone() for p in case.model.parameters()), torch.get_rng_state()])
    assert all(torch.equal(one, other) for one, other in zip(*after, strict=True))


def test_a_sound_training_shows_nothing():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        follower = LiveFindings(inspector)
        inspector.subscribe(follower.look)
        case.run(6)
        dashboard = Dashboard(inspector)
        assert shown(dashboard._findings) == []
        dashboard.close()


def shown(strip):
    return [row for row in strip.children if row.layout.display != "none"]


def test_the_strip_tells_causes_and_names_symptoms():
    cause = nni.Finding("zeroed_gradients", "error", "Kept <b>.", remedy=nni.Remedy("Clear them.", "x = 1"))
    run = nni.Run("run", {})
    strip = FindingsStrip(run, lambda finding: "", lambda finding: None)
    assert shown(strip) == []
    for one in (nni.Finding("one_batch_fit", "warning", "It does not."), cause, said("ok")):
        run.add_finding(one)
    strip.refresh()
    first, line = shown(strip)
    html = first.children[0].value
    assert html == cause_html(cause)
    assert html.count("<details") == 1
    assert html.count("Kept &lt;b&gt;.") == 1
    assert "Clear them." in html
    assert [button.description for button in line.children[1:-1] if button.layout.display != "none"] == [
        "one_batch_fit"
    ]
