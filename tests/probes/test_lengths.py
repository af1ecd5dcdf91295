"""How long sequences are: told where they are sequences, and not where they are not."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader

import nn_inspector as nni
from nn_inspector.probes.batches import Epoch
from nn_inspector.probes.lengths import Lengths, find_lengths

SIZES = (3, 9, 5, 1)
SHORT = Lengths(4, 1, 9, sum(SIZES), 36)
LABELS = torch.tensor([0, 1, 1, 0])


def tokens(*, before=False, padding=0):
    rows = [torch.arange(2, 2 + size) for size in SIZES]
    side = "left" if before else "right"
    return pad_sequence(rows, batch_first=True, padding_value=padding, padding_side=side)


def frames():
    return pad_sequence([torch.ones(size, 6) for size in SIZES], batch_first=True)


PADDED = {
    "tokens": (tokens(), LABELS),
    "tokens alone": tokens(),
    "padding before": (tokens(before=True), LABELS),
    "padding of -1": (tokens(padding=-1), LABELS),
    "int32": (tokens().int(), LABELS),
    "frames": (frames(), LABELS),
    "a mapping": {"label": LABELS, "input_ids": tokens()},
    "a mapping before labels": ({"text": tokens()}, LABELS),
    "an attention mask": {"input_ids": torch.ones(4, 9, dtype=torch.int64), "attention_mask": (tokens() > 0).long()},
}


@pytest.mark.parametrize("name", PADDED)
def test_padded_sequences(name):
    found = find_lengths(PADDED[name])
    assert found == SHORT
    assert found.mean == 4.5
    assert found.padding == 0.5


def test_sequences_without_padding():
    packed = pack_padded_sequence(frames(), list(SIZES), batch_first=True, enforce_sorted=False)
    apart = [torch.ones(size) for size in SIZES]
    for batch in ((packed, LABELS), packed, (apart, LABELS)):
        assert find_lengths(batch) == Lengths(4, 1, 9, 18, 18)
    assert find_lengths((torch.arange(64).reshape(4, 16), LABELS)) == Lengths(4, 16, 16, 64, 64)


NONE = {
    "numbers": (torch.randn(4, 20), LABELS),
    "images": (torch.rand(4, 3, 8, 8), LABELS),
    "grey images with an empty border": (nn.functional.pad(torch.rand(4, 4, 4), (2, 2, 2, 2)), LABELS),
    "images without channels": (torch.rand(4, 8, 8), LABELS),
    "columns of a table": (torch.arange(20).reshape(4, 5), LABELS),
    "a table whose last column is often zero": (torch.tensor([[1, 0, 0], [0, 2, 0], [3, 1, 4]]), LABELS[:3]),
    "bytes of pictures": (torch.zeros(4, 784, dtype=torch.uint8), LABELS),
    "empty": (torch.zeros(0, 9, dtype=torch.int64), LABELS[:0]),
    "complex": (torch.zeros(4, 9, 2, dtype=torch.complex64), LABELS),
    "sparse": (torch.eye(4).to_sparse(), LABELS),
    "meta": (torch.zeros(4, 9, dtype=torch.int64, device="meta"), LABELS),
    "nothing": (),
    "a text": "abc",
    "a number": 3,
    "a mapping of labels": {"labels": tokens()},
}


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_sequence(name):
    assert find_lengths(NONE[name]) == Lengths()


def test_tokens_of_one_length_that_are_all_padding_are_whole():
    """What would be left is nothing: then it is not evident that it is padding."""
    assert find_lengths(torch.zeros(4, 16, dtype=torch.int64)) == Lengths(4, 16, 16, 64, 64)


def test_lengths_add_up():
    other = Lengths(2, 4, 30, 34, 60)
    assert SHORT + other == Lengths(6, 1, 30, 52, 96)
    assert SHORT + Lengths() == Lengths() + SHORT == SHORT
    assert (Lengths().mean, Lengths().padding) == (0.0, 0.0)


def test_a_pass_over_a_loader_holds_those_of_all_its_batches():
    epoch = Epoch("train", 0, 0)
    for batch in (PADDED["tokens"], PADDED["an attention mask"]):
        epoch.add(batch)
    assert epoch.lengths == SHORT + SHORT


def test_they_are_in_the_run_and_in_its_file_and_said(tmp_path):
    from nn_inspector.panels import batch_labels
    from nn_inspector.panels.panel import Selection

    model = nn.Sequential(nn.EmbeddingBag(12, 8), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(list(zip(tokens(), LABELS, strict=True)), batch_size=4)
    file = tmp_path / "run.sqlite"
    with nni.watch(model, optimizer, nn.CrossEntropyLoss(), train_loader=loader, every=1, run=str(file)) as inspector:
        for _ in range(3):
            for x, y in loader:
                inspector.training.loss_fn(model(x), y).backward()
                optimizer.step()
        assert inspector.problems == []
    run = nni.open_run(file)
    assert [epoch.lengths for epoch in run.epochs("train")] == [SHORT, SHORT, SHORT]
    note = batch_labels.PANEL.picture(run, Selection()).note
    assert "Sequences have 1 to 9 elements, 4.5 on average; 50% of the places are padding." in note


def test_a_nan_in_frames_is_no_padding():
    padded = frames()
    padded[0, 8] = math.nan
    assert find_lengths(padded) == Lengths()
