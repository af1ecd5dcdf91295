"""The dashboard: it follows a training, goes back in time and shows the panels that were chosen."""

from itertools import pairwise

import numpy as np
import pytest

import nn_inspector as nni
from nn_inspector.live import PAGES
from nn_inspector.panels.dashboard import Dashboard
from nn_inspector.probes import DENSE_STEPS
from tests.panels.runs import trained
from tests.trainings import classifier


def test_the_dashboard_follows_the_training_and_its_controls():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1) as inspector:
        dashboard = Dashboard(inspector)
        assert "0 steps" in dashboard.children[0].children[0].value
        stop, pause = dashboard._steering._stop, dashboard._steering._pause
        assert stop.disabled
        assert pause.disabled
        case.run(1)
        dashboard.refresh()
        assert "6 steps" in dashboard.children[0].children[0].value
        assert not stop.disabled
        assert not pause.disabled
        pause.click()
        labels = [button.description for button in dashboard._steering.children]
        assert labels == ["Resume", "One step", "Stop", "Rate ×0.1", "Rate ×0.5", "Rate ×2"]
        dashboard._steering._resume.click()
        assert not inspector.is_paused
        dashboard._layer.name = "0"
        assert dashboard._charts["activation_histogram"]._shown.x_label == "output of 0"
        dashboard._log_loss.value = True
        assert dashboard._charts["loss"]._shown.log
        stop.click()
        with pytest.raises(nni.TrainingStopped):
            case.run(1)
        dashboard.close()
        case.run(1)


def test_panels_that_are_updated_rarely_say_so(monkeypatch):
    """Each update takes 0.3 s on this clock, so that three tenths of 3 % pay for one in 33 s."""
    now = [0.0]
    monkeypatch.setattr("nn_inspector.live.publisher.time.monotonic", lambda: now[0])
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1) as inspector:
        dashboard = Dashboard(inspector)
        dashboard._publisher.add(lambda: now.append(now.pop() + 0.3))
        case.run(1)
        assert "panels follow" not in dashboard._header.value
        now[0] += 10.0
        case.run(1)
        dashboard.refresh()
        assert "panels follow every 33 s, to cost 3% at the most" in dashboard._header.value
        dashboard.close()


def test_the_dashboard_goes_back_in_time_and_returns():
    inspector = trained()
    dashboard = Dashboard(inspector)
    time = dashboard._time
    assert time.slider.max == time.slider.value == inspector.run.steps - 1
    assert time.latest.disabled
    time.slider.value = 5
    chart = dashboard._charts["loss"]._shown
    assert max(chart.series["train, smoothed"].x) == 5
    expected = inspector.run.at(5)["gradient_norm", "2.weight"], inspector.run.at(5)["gradient_norm", "2.bias"]
    assert dashboard._charts["gradient_flow"]._shown.series["now"].y[1] == pytest.approx(np.hypot(*expected))
    dashboard.refresh()
    assert max(dashboard._charts["loss"]._shown.series["train, smoothed"].x) == 5
    assert not time.latest.disabled
    time.latest.click()
    assert time.following
    assert max(dashboard._charts["loss"]._shown.series["train, smoothed"].x) == inspector.run.steps - 1
    dashboard.close()


def test_the_slider_reaches_as_far_as_the_training_has_come():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1) as inspector:
        dashboard = Dashboard(inspector)
        case.run(1)
        dashboard.refresh()
        assert dashboard._time.slider.value == 5
        dashboard._time.slider.value = 2
        case.run(1)
        dashboard.refresh()
        assert (dashboard._time.slider.value, dashboard._time.slider.max) == (2, 11)
        dashboard.close()


def test_panels_are_chosen_by_buttons_and_made_when_they_are_first_shown():
    dashboard = Dashboard(trained())
    assert len(dashboard._grid.children) == 4
    buttons = dashboard._choice._buttons
    assert "predictions" not in dashboard._charts
    buttons["predictions"].value = True
    assert len(dashboard._grid.children) == 5
    assert buttons["predictions"].icon == "check"
    assert not dashboard._charts["predictions"]._shown.empty
    buttons["loss"].value = False
    assert len(dashboard._grid.children) == 4
    assert buttons["loss"].icon == ""
    assert "Predictions" in dashboard._twin()
    assert 'alt="Loss' not in dashboard._twin()
    dashboard.close()


def shown(dashboard):
    return [panel.name for panel in dashboard._choice.chosen]


def test_panels_can_be_named():
    inspector = trained()
    for one in (inspector, inspector.run):
        dashboard = one.dashboard(panels=["worst_items", "loss"])
        assert shown(dashboard) == ["loss", "worst_items"]
        assert len(dashboard._grid.children) == 2
        assert 'alt="Loss' in dashboard._twin()
        dashboard.close()
        assert len(shown(one.dashboard())) == 4


@pytest.mark.parametrize(
    ("panels", "said"),
    [
        (["loss", "gradients_flow"], "expected names of panels, got 'gradients_flow'. Did you mean \"gradient_flow\"?"),
        (["Worst items"], "expected names of panels, got 'Worst items'. Did you mean \"worst_items\"?"),
        (["xyz"], "expected names of panels, got 'xyz'. There are loss, metrics, "),
        ([], "expected names of panels, got an empty list."),
        ("loss", "expected a list of names of panels, got 'loss'. For example"),
        ([3], "expected a list of names of panels, got a list of 1 items."),
        (3, "expected a list of names of panels, got an int."),
    ],
)
def test_what_is_no_name_of_a_panel_is_said(panels, said):
    inspector = trained()
    for one in (inspector, inspector.run):
        with pytest.raises(nni.ArgumentError) as refused:
            one.dashboard(panels=panels)
        assert str(refused.value).startswith(f"panels: {said}")


def test_where_no_page_is_heard_a_click_is_a_sign_of_life(monkeypatch):
    """A training in a thread of its own that is paused and stepped there is seen at once, however long nobody looked."""
    monkeypatch.setattr(PAGES, "_pages", {})
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1) as inspector:
        dashboard = Dashboard(inspector)
        monkeypatch.setattr(PAGES, "_alive", -1e9)
        case.run(1)
        assert "0 steps" in dashboard._header.value
        dashboard._steering._rates[0].click()
        assert "6 steps" in dashboard._header.value
        case.run(1)
        dashboard._publisher.update()
        assert "12 steps" in dashboard._header.value
        dashboard.close()


class Handle:
    """A place where the picture of a saved notebook stands."""

    def __init__(self, dashboard):
        self.shown = []
        dashboard._twins.append(self)

    def update(self, html):
        self.shown.append(html.data)


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(PAGES, "_pages", {})
    for name in ("perf_counter", "monotonic"):
        monkeypatch.setattr(f"time.{name}", lambda: now[0])
    return now


def test_what_a_saved_notebook_shows_is_drawn_now_and_then_while_a_cell_runs_and_paid_from_the_budget(
    clock, monkeypatch
):
    case = classifier()
    case.model.register_forward_hook(lambda *_: clock.append(clock.pop() + 20.0))
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        dashboard = Dashboard(inspector)
        dashboard._publisher.close()
        handle, drawn = Handle(dashboard), []

        def draw():
            drawn.append(clock[0])
            clock[0] += 1.0
            return f"{inspector.run.steps} steps"

        monkeypatch.setattr(dashboard, "_twin", draw)
        begin = clock[0]
        case.run(14)
        assert 0.0 < drawn[0] - begin - 20.0 * DENSE_STEPS <= 120.0, "not in the first steps, which are soon over"
        assert [b - a for a, b in pairwise(drawn)] == [341.0] * 3, "a tenth of 3 % pays for one in 333 s"
        assert handle.shown[0] == f"{(drawn[0] - begin) / 20.0:.0f} steps"
        assert 4.0 <= inspector.overhead.own_seconds <= 0.03 * inspector.overhead.total_seconds
        dashboard.close()


def test_what_a_saved_notebook_shows_is_drawn_when_the_training_waits(clock):
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1) as inspector:
        dashboard = Dashboard(inspector)
        handle = Handle(dashboard)
        case.run(1)
        assert handle.shown == []
        inspector.pause()
        dashboard._keeper.update()
        assert ">6</td>" in handle.shown[0]
        inspector.resume()
        case.run(1)
        inspector.pause()
        dashboard._keeper.update()
        assert len(handle.shown) == 1, "a training that is made to go on step by step does not wait for pictures"
        clock[0] += 11.0
        dashboard._keeper.update()
        assert ">12</td>" in handle.shown[1]
        inspector.resume()
        dashboard.close()
