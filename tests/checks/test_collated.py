"""Labels stay beside their inputs where a collate function of the user's own puts items together."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

import nn_inspector as nni

STRIPS = [
    (torch.randn(5 + (7 * number) % 23, generator=torch.Generator().manual_seed(number)), (number // 3) % 3)
    for number in range(96)
]


def inputs_sorted(items):
    strips = sorted((strip for strip, _ in items), key=len, reverse=True)
    return pad_sequence(strips, batch_first=True), torch.tensor([kind for _, kind in items])


def pairs_sorted(items):
    items = sorted(items, key=lambda item: len(item[0]), reverse=True)
    return pad_sequence([strip for strip, _ in items], batch_first=True), torch.tensor([kind for _, kind in items])


def dict_sorted(items):
    x, y = inputs_sorted(items)
    return {"strip": x, "label": y}


def in_front(items):
    x, y = inputs_sorted(items)
    lengths = (x != 0).sum(1)
    return torch.stack([row.roll(len(row) - int(size)) for row, size in zip(x, lengths, strict=True)]), lengths, y


def as_they_are(items):
    return pad_sequence([strip for strip, _ in items], batch_first=True), torch.tensor([kind for _, kind in items])


def noisy(items):
    x, y = inputs_sorted(items)
    return x + torch.randn(x.shape), y


def one_label(items):
    x, _ = inputs_sorted(items)
    return x, torch.ones(len(items), dtype=torch.int64)


class Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3)
        )

    def forward(self, x):
        return self.layers(x[:, None])


def checked(collate, data=STRIPS):
    torch.manual_seed(0)
    model, loss_fn = Pooled(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loader = DataLoader(data, batch_size=16, shuffle=True, collate_fn=collate)
    with nni.watch(model, optimizer, loss_fn, train_loader=loader, show=False) as inspector:
        for batch in loader:
            x, y = (batch["strip"], batch["label"]) if isinstance(batch, dict) else (batch[0], batch[-1])
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
        state = torch.get_rng_state()
        finding = inspector.check("label_alignment", seconds=60.0)
        assert torch.equal(state, torch.get_rng_state())
    return finding


@pytest.mark.parametrize("collate", [inputs_sorted, dict_sorted, in_front])
def test_inputs_that_are_sorted_without_their_labels_are_an_error(collate):
    finding = checked(collate)
    assert finding.severity == "error", finding.message
    assert "your collate function puts items and labels in different orders" in finding.message
    assert finding.evidence["items"] == 32
    assert finding.evidence["wrong"] > 10
    assert "x and y together" in finding.remedy.code
    assert finding.where == "train_loader"


@pytest.mark.parametrize("collate", [pairs_sorted, as_they_are, noisy, one_label, None])
def test_labels_that_stay_with_their_inputs_pass_and_what_cannot_be_told_is_not_judged(collate):
    data = STRIPS if collate is not None else [(strip[:5], kind) for strip, kind in STRIPS]
    assert "collate function" not in checked(collate, data).message


def test_too_few_items_say_nothing():
    assert "collate function" not in checked(inputs_sorted, STRIPS[:6]).message
