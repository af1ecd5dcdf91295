"""The dashboard's buttons that steer a training, and what they say where no click can reach one."""

import pytest

import nn_inspector as nni
from nn_inspector.panels import dashboard as dashboards
from nn_inspector.panels.dashboard import Dashboard
from nn_inspector.panels.steering_buttons import NO_LIVE_PATH, SteeringButtons
from tests.trainings import classifier


class Connected:
    """What a dashboard knows of the connection to a front end."""

    def __init__(self, *, heard, runs_cell=True):
        self.heard, self.runs_cell = heard, runs_cell

    def add(self, after_cell):
        self.after_cell = after_cell

    def remove(self, after_cell):
        del self.after_cell


@pytest.fixture
def case():
    return classifier()


@pytest.fixture
def inspector(case):
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1) as inspector:
        case.run(1)
        yield inspector


@pytest.mark.parametrize(("place", "rate"), [(0, 0.01), (1, 0.05), (2, 0.2)])
def test_a_click_multiplies_the_learning_rate_from_the_next_step_on_and_the_run_knows(case, inspector, place, rate):
    buttons = SteeringButtons(inspector, lambda: None)
    buttons._rates[place].click()
    assert case.optimizer.param_groups[0]["lr"] == 0.1
    case.run(1)
    assert case.optimizer.param_groups[0]["lr"] == pytest.approx(rate)
    assert len(inspector.run.metadata["notes"]) == 1


def test_the_rates_have_names_that_can_be_read_out_and_nothing_to_do_while_no_training_runs(case, inspector):
    buttons = SteeringButtons(inspector, lambda: None)
    assert [button.description for button in buttons._rates] == ["Rate ×0.1", "Rate ×0.5", "Rate ×2"]
    assert buttons._rates[1].tooltip == "Multiply the learning rate by 0.5 from the next step on"
    assert not any(button.disabled for button in buttons.children)
    inspector.settle()
    buttons.refresh()
    assert all(button.disabled for button in buttons.children)
    buttons._rates[0].click()
    case.run(1)
    assert case.optimizer.param_groups[0]["lr"] == 0.1


@pytest.fixture
def shown(inspector, monkeypatch):
    """A dashboard of a training that runs, with this connection."""
    made = []

    def show(connection):
        monkeypatch.setattr(dashboards, "connect", lambda: connection)
        made.append(Dashboard(inspector))
        return made[-1]

    yield show
    for dashboard in made:
        dashboard.close()


def said_by(dashboard):
    stop = dashboard._steering._stop
    return NO_LIVE_PATH in dashboard._header.value, stop.disabled, stop.tooltip


SILENT = False, False, "End the training at the next step"


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        (None, SILENT),
        (Connected(heard=True), SILENT),
        (Connected(heard=False, runs_cell=False), SILENT),
        (Connected(heard=False), (True, True, NO_LIVE_PATH)),
    ],
)
def test_the_buttons_say_it_where_no_click_reaches_a_running_cell(shown, connection, said):
    assert said_by(shown(connection)) == said


@pytest.mark.parametrize(
    ("connection", "waits"),
    [
        (None, False),
        (Connected(heard=True), True),
        (Connected(heard=False), True),
        (Connected(heard=True, runs_cell=False), False),
    ],
)
def test_the_choice_of_panels_says_that_it_waits_for_the_cell_while_it_trains(shown, inspector, connection, waits):
    dashboard = shown(connection)
    said = dashboard._choice.children[0]
    assert "comes when the cell has ended" in said.value
    assert (said.layout.display != "none") == waits
    inspector.settle()
    dashboard.refresh()
    assert said.layout.display == "none"


def test_they_say_it_no_longer_once_an_extension_is_heard_or_the_training_is_over(shown, inspector, case):
    connection = Connected(heard=False)
    dashboard = shown(connection)
    assert said_by(dashboard)[0]
    inspector.settle()
    dashboard.refresh()
    assert said_by(dashboard) == (False, True, SILENT[2])
    case.run(1)
    connection.heard = True
    dashboard.refresh()
    assert said_by(dashboard) == SILENT
    assert "Interrupt" in NO_LIVE_PATH


def test_the_header_says_the_learning_rate(shown, case):
    dashboard = shown(None)
    assert "· learning rate 0.1<" in dashboard._header.value
    dashboard._steering._rates[1].click()
    case.run(1)
    dashboard.refresh()
    assert "· learning rate 0.05<" in dashboard._header.value
