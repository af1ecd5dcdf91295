"""label_range: letters that have the number of the blank."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nn_inspector as nni

LETTERS = 4


class Listener(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, LETTERS + 1))

    def forward(self, sounds):
        return self.body(sounds).log_softmax(-1).transpose(0, 1)


def texts(first, *, flat):
    """Batches of sounds and of texts of one to three letters, which are numbered from `first` on."""
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(6):
        lengths = torch.randint(1, 4, (8,), generator=generator)
        rows = torch.randint(first, first + LETTERS, (8, 3), generator=generator)
        kept = torch.arange(3) < lengths[:, None]
        targets = rows[kept] if flat else torch.where(kept, rows, 0)
        batches.append((torch.randn(8, 9, 3, generator=generator), targets, lengths))
    return batches


def checked(batches, blank):
    torch.manual_seed(0)
    model = Listener()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def train():
        for sounds, targets, lengths in batches:
            optimizer.zero_grad()
            spoken = model(sounds)
            F.ctc_loss(spoken, targets, torch.full((8,), 9), lengths, blank=blank, zero_infinity=True).backward()
            optimizer.step()

    with nni.watch(model, optimizer, train_loader=batches, loop=train, show=False) as inspector:
        train()
    return inspector.check("label_range")


@pytest.mark.parametrize("flat", [True, False])
def test_letters_that_are_the_blank_are_an_error(flat):
    finding = checked(texts(0, flat=flat), 0)
    assert finding.severity == "error", finding.message
    assert "the blank of the CTC loss" in finding.message
    assert finding.basis == "structure"


@pytest.mark.parametrize(("first", "blank"), [(1, 0), (0, LETTERS)])
@pytest.mark.parametrize("flat", [True, False])
def test_rows_that_are_filled_up_with_the_blank_and_a_blank_at_the_end_are_fine(first, blank, flat):
    finding = checked(texts(first, flat=flat), blank)
    assert not finding.raised, finding.message
