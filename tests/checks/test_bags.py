"""Bags of words by their offsets, and whose words each holds."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import nn_inspector as nni
from tests.checks.untouched import finding_of
from tests.trainings import Case


class Bags(nn.Module):
    def __init__(self, *, named=False):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.last = nn.EmbeddingBag(12, 8), nn.Linear(8, 3)
        self.named = named

    def forward(self, words, offsets):
        return self.last(self.words(words, offsets=offsets) if self.named else self.words(words, offsets))


def with_offsets(offsets_of, *, named=False):
    generator = torch.Generator().manual_seed(0)
    texts = [(torch.randint(12, (2 + place % 5,), generator=generator), place % 3) for place in range(96)]

    def collate(batch):
        offsets = offsets_of(torch.tensor([0, *(len(words) for words, _ in batch[:-1])]))
        return torch.cat([words for words, _ in batch]), offsets, torch.tensor([label for _, label in batch])

    model = Bags(named=named)
    loader = DataLoader(texts, batch_size=16, shuffle=True, collate_fn=collate)
    case = Case(model, torch.optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss(), loader)
    inspector = nni.watch(model, case.optimizer, case.loss_fn, train_loader=loader, show=False)
    for _ in range(3):
        for words, offsets, y in loader:
            case.optimizer.zero_grad()
            case.loss_fn(model(words, offsets), y).backward()
            case.optimizer.step()
    return inspector, case


@pytest.mark.parametrize("named", [False, True])
def test_bags_that_hold_the_words_of_other_items_are_an_error(named):
    finding = finding_of("label_alignment", *with_offsets(lambda lengths: lengths, named=named))
    assert finding.severity == "error", finding.message
    assert "the offsets of words go down as well as up (0, " in finding.message
    assert "cumsum(0)" in finding.remedy.code
    assert (finding.where, finding.basis) == ("words", "structure")


def test_bags_that_begin_where_the_one_before_ends_pass():
    finding = finding_of("label_alignment", *with_offsets(lambda lengths: lengths.cumsum(0)))
    assert finding.severity in ("ok", "info", "skipped", "warning")
    assert "offsets" not in finding.message


def test_bags_of_words_in_a_row_are_taken_apart():
    """Each bag's first words tell its label."""
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randint(0, 3, (480,), generator=generator).tolist()
    texts = [
        (torch.cat([torch.tensor([kind, kind]), torch.randint(3, 12, (2 + place % 5,), generator=generator)]), kind)
        for place, kind in enumerate(kinds)
    ]

    def collate(batch):
        begins = torch.tensor([0, *(len(words) for words, _ in batch[:-1])]).cumsum(0)
        return torch.cat([words for words, _ in batch]), begins, torch.tensor([label for _, label in batch])

    model = Bags()
    loader = DataLoader(texts, batch_size=16, shuffle=True, collate_fn=collate)
    case = Case(model, torch.optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss(), loader)
    inspector = nni.watch(model, case.optimizer, case.loss_fn, train_loader=loader, show=False)
    for words, begins, y in loader:
        case.optimizer.zero_grad()
        case.loss_fn(model(words, begins), y).backward()
        case.optimizer.step()
    finding = finding_of("label_alignment", inspector, case)
    assert finding.severity == "ok", finding.message
    assert "a simple model explains" in finding.message
    assert inspector.check("simpler_baseline", seconds=300).severity != "skipped"
