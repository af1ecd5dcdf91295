from __future__ import annotations

import io
import itertools
import sys

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

import nn_inspector as nni
from tests.trainings import blobs, classifier


class Stream(IterableDataset):
    """Has no length."""

    def __iter__(self):
        return iter(blobs(items=40))


def watched(loader=None, **options):
    case = classifier()
    case.train_loader = loader if loader is not None else case.train_loader
    options = {"train_loader": case.train_loader, "every": 1, **options}
    return case, nni.watch(case.model, case.optimizer, case.loss_fn, **options)


def train(case, bar):
    seen = []
    for inputs, target in bar:
        case.optimizer.zero_grad()
        case.loss_fn(case.model(inputs), target).backward()
        case.optimizer.step()
        seen.append(inputs.clone())
    return seen


def passes(wrapped):
    """Two passes over a shuffled loader, as batches, the random state after them, and what was seen of the loader."""
    case, inspector = watched(DataLoader(blobs(), batch_size=16, shuffle=True))
    bar = inspector.progress(case.train_loader, file=io.StringIO()) if wrapped else case.train_loader
    torch.manual_seed(5)
    batches = [batch for _ in range(2) for batch in train(case, bar)]
    epochs = [(epoch.number, epoch.complete, epoch.batches, epoch.order) for epoch in inspector.run.epochs("train")]
    return batches, torch.get_rng_state(), epochs


def test_batches_random_state_and_what_is_seen_of_the_loader_are_the_same():
    batches, state, epochs = passes(wrapped=True)
    expected_batches, expected_state, expected_epochs = passes(wrapped=False)
    assert len(batches) == 12
    assert all(torch.equal(*pair) for pair in zip(batches, expected_batches, strict=True))
    assert torch.equal(state, expected_state)
    assert epochs == expected_epochs
    assert [number for number, *_ in epochs] == [0, 1]


@pytest.mark.parametrize(
    ("loader", "length"),
    [
        (DataLoader(blobs(), batch_size=16), 6),
        (list(DataLoader(blobs(), batch_size=32)), 3),
        (DataLoader(Stream(), batch_size=10), None),
        (iter(DataLoader(blobs(), batch_size=48)), 2),
        ((batch for batch in DataLoader(blobs(), batch_size=48)), None),
    ],
    ids=["loader", "list", "stream", "iterator", "generator"],
)
def test_its_length_is_that_of_the_loader_where_there_is_one(loader, length):
    case, inspector = watched()
    screen = io.StringIO()
    bar = inspector.progress(loader, file=screen)
    if length is None:
        with pytest.raises(TypeError):
            len(bar)
    else:
        assert len(bar) == length
    seen = len(train(case, bar))
    assert seen == (length or seen)
    assert f"{seen}/{length}" in screen.getvalue() if length else f"{seen}it" in screen.getvalue()


def test_the_bar_names_the_epoch_and_shows_the_latest_loss_and_what_was_logged():
    case, inspector = watched(val_loader=DataLoader(blobs(seed=1), batch_size=48))
    for _ in range(2):
        screen = io.StringIO()
        for inputs, target in inspector.progress(case.train_loader, file=screen, mininterval=0):
            case.optimizer.zero_grad()
            case.loss_fn(case.model(inputs), target).backward()
            inspector.log(accuracy=0.75)
            case.optimizer.step()
    inspector.validation(f1=0.5)
    last = screen.getvalue().split("\r")[-1]
    assert last.startswith("epoch 2: 100%")
    assert f"loss={inspector.run.last('loss', 'train'):.3g}" in last
    assert "accuracy=0.75" in last
    screen = io.StringIO()
    assert len(list(inspector.progress(inspector.training.val_loader, file=screen))) == 2
    assert "validation: 100%" in screen.getvalue()
    assert "validation f1=0.5" in screen.getvalue()


def test_options_go_to_tqdm():
    case, inspector = watched()
    screen = io.StringIO()
    assert len(list(inspector.progress(case.train_loader, file=screen, desc="mine"))) == len(case.train_loader)
    assert screen.getvalue().startswith("\rmine:")
    screen = io.StringIO()
    assert list(inspector.progress(case.train_loader, file=screen, disable=True))
    assert screen.getvalue() == ""


def test_a_loop_that_ends_early_closes_its_bar():
    case, inspector = watched()
    screen = io.StringIO()
    seen = list(itertools.islice(inspector.progress(case.train_loader, file=screen), 2))
    assert len(seen) == 2
    assert screen.getvalue().endswith("\n")


def loop(inspector, model, optimizer, loss_fn, train_loader):
    for inputs, target in inspector.progress(train_loader):
        loss_fn(model(inputs), target).backward()
        optimizer.step()


def test_a_loop_over_a_bar_is_read_as_a_loop_over_the_loader():
    case, inspector = watched(loop=loop)
    loop(inspector, case.model, case.optimizer, case.loss_fn, case.train_loader)
    found = inspector.check("zeroed_gradients")
    assert found.severity == "error"
    assert found.where is not None


def test_without_tqdm_it_says_what_to_install(monkeypatch):
    case, inspector = watched()
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(nni.InspectorError, match=r'pip install "nn_inspector\[tqdm\]"'):
        inspector.progress(case.train_loader)


def test_what_cannot_be_gone_over_is_refused():
    _, inspector = watched()
    with pytest.raises(nni.ArgumentError, match="loader: expected an iterable of batches, got an int"):
        inspector.progress(3)
