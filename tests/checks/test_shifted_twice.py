"""Targets of language models that are shifted once more than they should be."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.checks.conftest import with_time

ITEMS, TIMES, TOKENS = 64, 14, 9


def text(ahead=1):
    """Tokens, and those `ahead` positions later."""
    tokens = torch.randint(0, TOKENS, (ITEMS, TIMES + ahead), generator=torch.Generator().manual_seed(0))
    return TensorDataset(tokens[:, :TIMES], tokens[:, ahead:])


class Language(nn.Module):
    def __init__(self, *, both_ways=False, heads=1):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(TOKENS, 8)
        self.layer = nn.GRU(8, 12, batch_first=True, bidirectional=both_ways)
        self.heads = nn.ModuleList(nn.Linear(24 if both_ways else 12, TOKENS) for _ in range(heads))

    def forward(self, x):
        h = self.layer(self.embedding(x))[0]
        return self.heads[0](h) if len(self.heads) == 1 else [head(h) for head in self.heads]


class Inside(Language):
    """Shifts the labels itself and returns the loss."""

    def forward(self, x, labels):
        logits = super().forward(x)
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()), logits


class Writer(Language):
    """Puts a first token in front by itself."""

    def forward(self, x):
        return super().forward(F.pad(x[:, :-1], (1, 0)))


def plain(model, x, y):
    return F.cross_entropy(model(x).transpose(1, 2), y)


def once_more(model, x, y):
    logits = model(x)
    return F.cross_entropy(logits[:, :-1].reshape(-1, TOKENS), y[:, 1:].reshape(-1))


def once_more_in_classes(model, x, y):
    return F.cross_entropy(model(x)[:, :-1].transpose(1, 2), y[:, 1:])


def twice_more(model, x, y):
    return F.cross_entropy(model(x)[:, :-2].transpose(1, 2), y[:, 2:])


def masked(model, x, y):
    return F.cross_entropy(model(x)[:, :-1].transpose(1, 2), y[:, 1:].masked_fill(y[:, 1:] == 3, -100))


def same_cut(model, x, y):
    return F.cross_entropy(model(x)[:, 3:].transpose(1, 2), y[:, 3:])


def inside(model, x, y):
    return model(x, y)[0]


def inside_own(model, x, y):
    return model(x, x)[0]


def own(model, x, y):
    return once_more(model, x, x)


def both_heads(model, x, y):
    near, far = model(x)
    return F.cross_entropy(near.transpose(1, 2), y) + F.cross_entropy(far[:, :-1].transpose(1, 2), y[:, 1:])


def alignment(model, loss_of, data=None):
    loader = DataLoader(data or text(), batch_size=16, shuffle=True)
    parameters = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    with with_time(nni.watch(model, optimizer, train_loader=loader, show=False)) as inspector:
        for _ in range(2):
            for x, y in loader:
                optimizer.zero_grad()
                loss_of(model, x, y).backward()
                optimizer.step()
        return inspector.check("label_alignment")


@pytest.mark.parametrize(
    ("model", "loss_of", "ahead"),
    [
        (Language, once_more, 2),
        (Language, once_more_in_classes, 2),
        (Language, twice_more, 3),
        (Language, masked, 2),
        (Inside, inside, 2),
        (Writer, plain, 2),
    ],
)
def test_next_tokens_that_are_shifted_once_more_are_a_warning(model, loss_of, ahead):
    finding = alignment(model(), loss_of)
    assert finding.severity == "warning", finding.message
    assert "the targets are shifted twice" in finding.message
    assert f"{ahead} positions on (100% of" in finding.message
    assert finding.evidence["positions_ahead"] == ahead
    assert "not logits[:, :-1] and y[:, 1:]" in finding.remedy.code


@pytest.mark.parametrize(
    ("model", "loss_of"),
    [(Language, plain), (Language, same_cut), (Language, own), (Inside, inside_own)],
    ids=["once, in the data", "the beginning left out", "once, in the loop", "once, in the model"],
)
def test_targets_that_are_shifted_once_pass(model, loss_of):
    assert "shifted twice" not in alignment(model(), loss_of).message


def test_tokens_of_further_on_that_the_data_give_are_meant():
    assert "shifted twice" not in alignment(Language(), plain, text(ahead=2)).message


def test_several_heads_for_several_positions_are_meant():
    assert "shifted twice" not in alignment(Language(heads=2), both_heads).message


def test_a_head_on_top_of_a_network_that_does_not_learn_is_meant():
    model = Language()
    model.embedding.requires_grad_(False)
    model.layer.requires_grad_(False)
    assert "shifted twice" not in alignment(model, once_more).message


def test_a_network_that_sees_later_tokens_is_another_matter():
    assert "shifted twice" not in alignment(Language(both_ways=True), once_more).message


def test_tokens_that_are_all_alike_say_nothing():
    tokens = torch.full((ITEMS, TIMES), 2)
    assert "shifted twice" not in alignment(Language(), once_more, TensorDataset(tokens, tokens)).message


def test_batches_of_numbers_are_not_asked():
    data = TensorDataset(torch.randn(64, 12), torch.randint(0, 3, (64,)))
    model = nn.Linear(12, 3)
    assert "shifted twice" not in alignment(model, lambda model, x, y: F.cross_entropy(model(x), y), data).message
