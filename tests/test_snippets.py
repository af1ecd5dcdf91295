import ast

import pytest

import nn_inspector as nni
from nn_inspector.checks import checks
from nn_inspector.guide.steps import Progress
from nn_inspector.snippets import check_cell, name_of, remedy_cell, rename
from tests.trainings import blobs, classifier, sorted_by_label

NAMES = {"model": "net", "optimizer": "opt", "loss_fn": "criterion", "train_loader": "train"}


@pytest.mark.parametrize(
    ("code", "renamed"),
    [
        ("optimizer.step()", "opt.step()"),
        ("self.optimizer.step()", "self.optimizer.step()"),
        ("f(optimizer=optimizer, model=3)", "f(optimizer=opt, model=3)"),
        ("optimizer = make(model)", "opt = make(net)"),
        ("for x, y in train_loader:\n    loss_fn(model(x), y)", "for x, y in train:\n    criterion(net(x), y)"),
        ('print("model")  # the model', 'print("model")  # the model'),
        ("model == optimizer", "net == opt"),
        ("x = [model, model]", "x = [net, net]"),
    ],
)
def test_names_are_replaced_where_they_are_names(code, renamed):
    assert rename(code, NAMES) == renamed


def test_a_check_as_a_cell():
    case = classifier()
    with nni.watch(case.model, case.optimizer) as inspector:
        assert check_cell("shuffling", inspector, {"spy": inspector}).endswith('spy.check("shuffling")')
        assert check_cell("shuffling", inspector, {}).endswith("%nn_check shuffling")
    assert check_cell("shuffling", None, {}).startswith("# Do the items come")
    with pytest.raises(nni.ArgumentError):
        check_cell("nothing", None, {})


def broken():
    case = classifier(data=sorted_by_label(blobs(600, spread=2.5)), shuffle=False, lr=0.5, weight_decay=1.0)
    inspector = nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader)
    case.run(2, zero_grad=False)
    return case, inspector


@pytest.mark.parametrize("name", ["zeroed_gradients", "shuffling", "regularization_share"])
def test_a_remedy_is_a_cell_that_runs_under_the_notebooks_names(name):
    case, inspector = broken()
    import torch

    names = {
        "net": case.model,
        "opt": case.optimizer,
        "criterion": case.loss_fn,
        "train": case.train_loader,
        "torch": torch,
    }
    cell = remedy_cell(inspector.check(name, seconds=300), inspector, names)
    ast.parse(cell)
    assert "opt" in cell or "train" in cell
    exec(cell, names)
    inspector.detach()
    if name == "regularization_share":
        assert case.optimizer.param_groups[0]["weight_decay"] == 1e-4
    if name == "shuffling":
        assert type(names["train"].sampler).__name__ == "RandomSampler"


def test_the_wizards_progress():
    progress = Progress()
    assert progress.step.name == checks()[0].info.name
    assert progress.is_first
    progress.go(-3)
    assert progress.position == 0
    progress.go(99)
    assert progress.is_last
    assert progress.finding is None
    progress.record(nni.Finding(progress.step.name, "error", "m"))
    assert progress.finding.message == "m"
    assert progress.summary() == f"1 of {len(checks())} steps made. To repair: {progress.step.name}."
    assert len(progress.steps) == len(checks())


def test_the_name_of_an_object():
    net = object()
    assert name_of(net, {"_": net, "_1": net, "model": net}) == "model"
    assert name_of(net, {}) is None
