"""Copies and files of a model that is watched, and inspectors beside one another."""

import copy

import pytest
import torch

import nn_inspector as nni
from tests.probes.trained_alike import case, sgd
from tests.trainings import Case, blobs


def test_a_copy_does_not_report_to_us_and_trains_the_same():
    c = case()()
    with nni.watch(c.model, c.optimizer, c.loss_fn, train_loader=c.train_loader, every=1) as inspector:
        model, optimizer, loss_fn, loader = copy.deepcopy((c.model, c.optimizer, c.loss_fn, c.train_loader))
        Case(model, optimizer, loss_fn, loader).run(1)
        assert inspector.run.steps == 0
        assert inspector.run.epochs("train") == []
        c.run(1)
    assert inspector.run.steps == 6
    assert copy.deepcopy(loader).batch_size == 16
    assert len(list(copy.deepcopy(loader))) == 6


def test_an_average_model_does_not_report_to_us():
    c = case()()
    with nni.watch(c.model, c.optimizer, c.loss_fn, every=1) as inspector:
        average = torch.optim.swa_utils.AveragedModel(c.model)
        x = blobs(16).tensors[0]
        c.run(1)
        average.update_parameters(c.model)
        passes = inspector._attachment.forward_passes
        average(x)
        assert inspector._attachment.forward_passes == passes


def test_a_saved_model_opens_where_we_are_not_installed(tmp_path):
    import subprocess
    import sys
    import textwrap

    c = case()()
    with nni.watch(c.model, c.optimizer, c.loss_fn, train_loader=c.train_loader, every=1):
        c.run(1)
        torch.save((c.model, c.loss_fn, c.train_loader, c.optimizer.state_dict()), tmp_path / "all.pt")
    script = textwrap.dedent("""
        import sys
        sys.modules["nn_inspector"] = None
        import torch
        model, loss_fn, loader, state = torch.load(sys.argv[1], weights_only=False)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        optimizer.load_state_dict(state)
        for x, y in loader:
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
        torch.save(model, sys.argv[1])
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "all.pt"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_watching_again_replaces_the_earlier_inspector():
    c = case()()
    first = nni.watch(c.model, c.optimizer, c.loss_fn)
    second = nni.watch(c.model, c.optimizer, c.loss_fn)
    c.run(1)
    assert (first.run.steps, second.run.steps) == (0, 6)
    second.detach()


def test_an_inspector_that_nobody_keeps_goes_on_watching():
    import gc

    from nn_inspector.watching import current_inspector

    c = case()()
    nni.watch(c.model, c.optimizer, c.loss_fn)
    gc.collect()
    c.run(1)
    inspector = current_inspector()
    assert inspector is not None
    assert inspector.run.steps == 6
    inspector.detach()
    assert current_inspector() is None


def test_two_models_with_one_loss_module_do_not_mix():
    a, b = case()(), case(optimizer=lambda m: sgd(m, lr=0.0))()
    b.loss_fn = a.loss_fn
    first = nni.watch(a.model, a.optimizer, a.loss_fn, every=1)
    second = nni.watch(b.model, b.optimizer, b.loss_fn, every=1)
    losses = a.run(2)
    assert first.run.series("loss", "train").values.tolist() == pytest.approx(losses)
    assert len(second.run.series("loss", "train")) == 0
    losses_of_b = b.run(1)
    assert second.run.series("loss", "train").values.tolist() == pytest.approx(losses_of_b)
    assert len(first.run.series("loss", "train")) == 12
    first.detach()
    second.detach()
