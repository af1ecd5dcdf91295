"""A run that is looked at without its training: after a restart of the kernel, or from a file of another machine."""

import re

import pytest

import nn_inspector as nni
from nn_inspector.panels.layers import model_layers, run_layers
from nn_inspector.panels.run_dashboard import RunDashboard, header_html
from nn_inspector.probes import Measurement
from tests.history.files import wait_until
from tests.trainings import classifier


@pytest.fixture
def training(tmp_path):
    """Written to a file, with a finding, and not over."""
    case = classifier()
    with nni.watch(
        case.model,
        case.optimizer,
        case.loss_fn,
        train_loader=case.train_loader,
        every=1,
        run=tmp_path / "digits.sqlite",
    ) as inspector:
        case.run(2)
        inspector.note(nni.Finding("loss_spike", "error", "The loss jumped.", evidence={"step": 3}))
        yield case, inspector


@pytest.fixture
def path(training):
    _, inspector = training
    inspector.detach()
    return inspector.run.path


def buttons(view):
    """Labels of all buttons that are to be seen beside the line on how the run stands."""
    beside = view.children[0].children[1:]
    inner = [part for one in beside for part in getattr(one, "children", (one,))]
    return [button.description for button in inner if button.layout.display != "none"]


def last_step(view):
    return max(view._charts["loss"]._shown.series["train, smoothed"].x)


def test_a_run_file_shows_all_panels_its_findings_and_its_layers(path, training):
    view = nni.open_run(path).dashboard()
    assert isinstance(view, RunDashboard)
    assert view._header.value.count("12 steps · epoch 2 · loss ") == 1
    assert "run digits" in view._header.value
    assert view._layers == model_layers(training[1]) == ["0", "1", "2"]
    assert view._findings._causes[0]._button.tooltip == "Show the evidence of loss_spike: step 3, Loss, Worst items"
    assert [len(view._cards), last_step(view)] == [4, 11]
    assert 'alt="Loss' in view._twin()
    for button in view._choice._buttons.values():
        button.value = True
    assert len(view._cards) == len(view._choice.chosen)
    assert buttons(view) == []
    view.close()


def test_it_travels_and_goes_to_the_evidence(path):
    view = nni.open_run(path).dashboard()
    assert "shown:" not in view._header.value
    view._time.slider.value = 5
    assert last_step(view) == 5
    assert "shown: step 5 (0 to 11)" in view._header.value
    view._findings._causes[0]._button.click()
    assert [view._time.slider.value, last_step(view)] == [3, 3]
    assert "shown: step 3 (0 to 11)" in view._header.value
    view._layer.name = "0"
    assert view._charts["activation_histogram"]._shown.x_label == "output of 0"
    view._time.latest.click()
    assert "shown:" not in view._header.value
    view.close()


def test_a_run_that_goes_on_elsewhere_is_read_again_when_that_is_asked(training):
    case, inspector = training
    wait_until(lambda: inspector.run.path.exists() and nni.open_run(inspector.run.path).steps == 12)
    run = nni.open_run(inspector.run.path, follow=True)
    view = run.dashboard()
    assert buttons(view) == ["Read again"]
    view._time.slider.value = 2
    case.run(1)
    inspector.detach()
    view.children[0].children[1].click()
    assert [view._time.slider.value, view._time.slider.max] == [2, 17]
    assert "18 steps" in view._header.value
    assert "shown: step 2 (0 to 17)" in view._header.value
    view.close()


def test_layers_that_are_measured_later_can_be_selected_once_it_is_read_again():
    run = nni.Run("made", {"model": "M", "modules": {"": "M", "a": "Linear", "b": "ReLU"}, "own_parameters": {"a": 6}})
    view = run.dashboard()
    view._layer.name = "a"
    assert [layer for _, layer in view._picker.list.options] == ["", "a"]
    run.record([Measurement(0, "activation_spread", "b", 1.0)])
    run.steps = 1
    view.read_again()
    assert [layer for _, layer in view._picker.list.options] == ["", "a", "b"]
    assert (view._layer.name, view._picker.list.value, view._picker.clear.disabled) == ("a", "a", False)
    view.close()


@pytest.mark.parametrize(
    ("parameters", "sources", "layers"),
    [
        ({}, ["a"], []),
        ({"modules": {"": "Linear"}, "own_parameters": {"": 6}}, [], ["model"]),
        ({"modules": {"": "M", "b": "ReLU", "a": "Linear"}}, ["a", "b"], ["b", "a"]),
        ({"modules": {"": "M", "a": "Linear"}}, ["train"], []),
    ],
)
def test_layers_are_those_of_which_something_was_measured_in_the_order_of_the_model(parameters, sources, layers):
    run = nni.Run("made", parameters)
    run.record([Measurement(0, "activation_mean", source, 1.0) for source in sources])
    assert run_layers(run) == layers


def test_a_run_without_a_step_is_shown_empty_and_what_a_stranger_wrote_is_text():
    view = nni.Run("<b>mine</b>", {}).dashboard()
    assert "<b>A network</b> · 0 steps · run &lt;b&gt;mine&lt;/b&gt;" in view._header.value
    assert view._twin() == '<div class="nni-static"></div>'
    view.close()


def test_nothing_that_steers_a_training_is_there(training):
    _, inspector = training
    view = inspector.run.dashboard()
    assert buttons(view) == ["Read again"]
    assert not re.search("nni-board", " ".join(view._dom_classes))
    view.close()


def test_a_run_reports_as_its_inspector_does(path, tmp_path):
    written = nni.open_run(path).report(tmp_path / "report.html")
    assert written == tmp_path / "report.html"
    assert "The loss jumped." in written.read_text(encoding="utf-8")
    with pytest.raises(nni.ArgumentError, match="path: expected a file in a folder that exists"):
        nni.open_run(path).report(tmp_path / "none" / "report.html")


def test_a_file_that_is_no_run_is_said(tmp_path):
    file = tmp_path / "notes.sqlite"
    file.write_text("no run")
    with pytest.raises(nni.RunFileError, match=r"notes\.sqlite"):
        nni.open_run(file).dashboard()


@pytest.mark.parametrize(
    ("steps", "shown", "said"),
    [
        (40, None, "40 steps"),
        (40, 3, "40 steps · <b>shown: step 3 (0 to 39)</b>"),
        (4000, 0, "4,000 steps · <b>shown: step 0 (0 to 3,999)</b>"),
        (1, None, "1 step"),
    ],
)
def test_the_header_says_how_many_steps_there_are_and_which_is_shown(steps, shown, said):
    run = nni.Run("made", {"model": "M"})
    run.steps = steps
    assert f"<b>M</b> · {said}</div>" in header_html(run, shown=shown)
