"""The wizard without a front end: its buttons are pressed in Python."""

import re

import ipywidgets
import pytest
import torch
from torch import nn

import nn_inspector as nni
from nn_inspector.checks import STAGES
from nn_inspector.guide.setup_form import NOTHING, SetupForm
from nn_inspector.guide.wizard import Wizard
from tests.trainings import blobs, classifier, mlp, sorted_by_label


def everything(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from everything(child)


def press(widget, label):
    shown = [
        w
        for w in everything(widget)
        if isinstance(w, ipywidgets.Button) and label in w.description and w.layout.display != "none"
    ]
    assert len(shown) == 1, (label, [w.description for w in shown])
    assert not shown[0].disabled
    shown[0].click()


def text(widget):
    return " ".join(w.value for w in everything(widget) if isinstance(w, ipywidgets.HTML))


def charts(widget):
    import bqplot

    return [w for w in everything(widget) if isinstance(w, bqplot.Figure)]


@pytest.fixture
def broken():
    case = classifier(data=sorted_by_label(blobs(600, spread=2.5)), shuffle=False, lr=0.5, weight_decay=1.0)
    inspector = nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader)
    case.run(2, zero_grad=False)
    check = inspector.check
    inspector.check = lambda name: check(name, seconds=300)
    yield case, inspector
    inspector.detach()


MISTAKES = ("shuffling", "zeroed_gradients", "regularization_share")


def open_step(wizard, name):
    """By clicking: first on its stage, then on the step."""
    info = next(info for info in nni.catalog() if info.name == name)
    press(wizard, STAGES[info.stage])
    press(wizard, info.title)
    return info


def test_every_step_asks_and_answers_and_three_name_the_mistakes(broken):
    case, inspector = broken
    wizard = Wizard(inspector, {"inspector": inspector, "net": case.model, "opt": case.optimizer})
    for name in ("initial_loss", "one_batch_fit", *MISTAKES):
        info = open_step(wizard, name)
        shown = text(wizard)
        for part in (info.question, "Why it matters.", "How it is checked."):
            assert part.split("'")[0] in shown
        press(wizard, "Run this check")
        finding = wizard.progress.findings[info.name]
        assert finding.message.split("'")[0] in text(wizard)
        if finding.raised:
            assert finding.remedy.text.split("'")[0] in text(wizard)
            assert "Tried on a copy" in text(wizard)
            assert charts(wizard), "the trial is drawn"
    raised = {name for name, finding in wizard.progress.findings.items() if finding.raised}
    assert raised == set(MISTAKES)
    assert f"5 of {len(nni.catalog())} steps made. To repair: {', '.join(MISTAKES)}." in text(wizard)


def test_headings_lead_to_it_and_to_its_question_and_what_was_found_is_read_out(broken):
    _, inspector = broken
    wizard = Wizard(inspector, {})
    info = open_step(wizard, "initial_loss")
    assert re.findall(r"<(h\d)[^>]*>([^<]+)</", text(wizard)) == [("h2", "Debug wizard"), ("h3", info.question)]
    assert "role=" not in text(wizard), "nothing is read out before there is something to say"
    press(wizard, "Run this check")
    assert re.search(r'<div role="status">.* ok</b>.*The first loss is', text(wizard))


def test_the_steps_of_a_stage_are_made_together(broken):
    _, inspector = broken
    wizard = Wizard(inspector, {})
    press(wizard, STAGES["loop"])
    press(wizard, "Run these steps")
    names = {info.name for info in nni.catalog() if info.stage == "loop"}
    assert wizard.progress.findings.keys() == names
    assert f"{STAGES['loop']} ✖" in " ".join(w.description for w in everything(wizard) if hasattr(w, "description"))


def test_all_steps_are_made_together_and_the_likeliest_cause_is_opened(broken):
    _, inspector = broken
    wizard = Wizard(inspector, {})
    press(wizard, "Run all steps")
    assert len(wizard.progress.findings) == len(nni.catalog())
    assert wizard.progress.finding.check in MISTAKES
    assert "Run all steps" in [w.description for w in everything(wizard) if isinstance(w, ipywidgets.Button)]


def test_a_step_can_be_chosen_directly_and_made_again(broken):
    _, inspector = broken
    wizard = Wizard(inspector, {})
    open_step(wizard, "zeroed_gradients")
    press(wizard, "Run this check")
    assert "✖ Zeroed gradients" in [w.description for w in everything(wizard) if isinstance(w, ipywidgets.Button)]
    press(wizard, "Back")
    press(wizard, "Next")
    press(wizard, "Run again")
    assert wizard.progress.finding.check == "zeroed_gradients"


def test_without_a_front_end_that_inserts_cells_the_code_is_shown(broken):
    case, inspector = broken
    wizard = Wizard(inspector, {"spy": inspector, "net": case.model, "opt": case.optimizer})
    open_step(wizard, "initial_loss")
    press(wizard, "Put the check into a cell")
    assert "no nn_inspector extension that could insert a cell" in text(wizard)
    assert "spy.check(&quot;initial_loss&quot;)" in text(wizard)
    open_step(wizard, "zeroed_gradients")
    press(wizard, "Run this check")
    press(wizard, "Put the remedy into a cell")
    assert "opt.zero_grad()" in text(wizard)


def test_a_sound_step_offers_no_remedy():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        wizard = Wizard(inspector, {})
        open_step(wizard, "initial_loss")
        press(wizard, "Run this check")
        assert "ok" in text(wizard)
        with pytest.raises(AssertionError):
            press(wizard, "Put the remedy into a cell")


def test_findings_made_before_are_shown():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        inspector.check("initial_loss")
        assert f"1 of {len(nni.catalog())} steps made." in text(Wizard(inspector, {}))


def notebook():
    net = mlp()
    return {
        "net": net,
        "opt": torch.optim.SGD(net.parameters(), lr=0.1),
        "criterion": nn.CrossEntropyLoss(),
        "train": torch.utils.data.DataLoader(blobs(), batch_size=8),
    }


def chosen(form):
    return {w.description: w.value for w in everything(form) if isinstance(w, ipywidgets.Dropdown)}


def test_it_begins_by_finding_the_objects():
    wizard = Wizard(None, notebook())
    assert chosen(wizard) == {
        "Model": "net", "Optimizer": "opt", "Loss": "criterion", "Training loader": "train", "Validation loader": NOTHING,
    }  # fmt: skip
    press(wizard, "Start")
    open_step(wizard, "initial_loss")
    assert "Is the first loss what chance gives?" in text(wizard)
    press(wizard, "Run this check")
    assert wizard.progress.finding.severity == "ok"


def test_an_empty_notebook_is_told_what_to_do_and_looked_at_again():
    names = {}
    form = SetupForm(names, lambda inspector: None)
    assert "No network was found. Run the cells that build it" in text(form)
    names.update(notebook())
    press(form, "Look again")
    assert chosen(form)["Model"] == "net"


def test_two_models_are_to_be_chosen_from_and_bring_their_optimizers():
    names = notebook()
    names["other"] = mlp()
    names["opt2"] = torch.optim.Adam(names["other"].parameters())
    form = SetupForm(names, lambda inspector: None)
    assert "There are 2 models. Choose the one that does not learn." in text(form)
    model = next(w for w in everything(form) if getattr(w, "description", "") == "Model")
    model.value = "net"
    assert chosen(form)["Optimizer"] == "opt"
    model.value = "other"
    assert chosen(form)["Optimizer"] == "opt2"


def test_a_wrong_choice_is_answered_on_the_page():
    names = notebook()
    names["empty"] = torch.utils.data.DataLoader(blobs(4), batch_size=8, drop_last=True)
    form = SetupForm(names, lambda inspector: None)
    next(w for w in everything(form) if getattr(w, "description", "") == "Training loader").value = "empty"
    press(form, "Start")
    assert "expected at least one batch" in text(form)
