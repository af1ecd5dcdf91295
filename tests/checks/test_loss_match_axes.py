"""A softmax along another axis than the classes, and what looks like one."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.checks.test_output_layer import by_own_loss
from tests.trainings import Case

G = torch.Generator().manual_seed(0)
IMAGES = torch.randn(24, 1, 6, 8, generator=G)
MASKS = (IMAGES[:, 0] > 0).long() + (IMAGES[:, 0] > 1).long()
TEXTS = torch.randint(0, 9, (24, 7), generator=G)
TAGS = TEXTS % 4
RANKS = torch.randint(0, 7, (24, 7), generator=G)


class Segmenter(nn.Module):
    def __init__(self, last=None):
        super().__init__()
        torch.manual_seed(1)
        self.body, self.last = nn.Conv2d(1, 3, 3, padding=1), last

    def forward(self, x):
        scores = self.body(x)
        return scores if self.last is None else self.last(scores)


class Tagger(nn.Module):
    def __init__(self, last=None, outputs=4):
        super().__init__()
        torch.manual_seed(1)
        self.body, self.head, self.last = nn.Embedding(9, 8), nn.Linear(8, outputs), last

    def forward(self, x):
        scores = self.head(self.body(x))
        return scores if self.last is None else self.last(scores)


def found(watched, model, data, loss):
    loader = DataLoader(TensorDataset(*data), batch_size=8, shuffle=True)
    case = Case(model, torch.optim.Adam(model.parameters(), lr=0.01), loss, loader)
    loop = by_own_loss(loss, epochs=1) if not isinstance(loss, nn.Module) else Case.run
    return watched(case, loop).check("loss_match", seconds=1.0)


def picked(out, t):
    return -out.gather(1, t[:, None]).mean()


def overlap(out, t):
    rows = F.one_hot(t, 3).permute(0, 3, 1, 2)
    shares = out.softmax(dim=-1)
    return 1 - (2 * (shares * rows).sum() + 1) / (shares.sum() + rows.sum() + 1)


@pytest.mark.parametrize(
    ("last", "loss", "words"),
    [
        (lambda s: s.log_softmax(-1), nn.NLLLoss(), "axis 3, which has 8 places, not over the 3 classes"),
        (nn.LogSoftmax(dim=2), nn.NLLLoss(), "in the module `last` (LogSoftmax) works along axis 2"),
        (nn.LogSoftmax(dim=0), nn.NLLLoss(), "over the items of the batch"),
        (lambda s: (s.softmax(-1) + 1e-7).log(), nn.NLLLoss(), "over axis 3"),
        (nn.Softmax(dim=-1), nn.NLLLoss(), "over axis 3"),
        (nn.Softmax(dim=2), nn.CrossEntropyLoss(), "over axis 2"),
        (None, lambda out, t: F.nll_loss(F.log_softmax(out, dim=-1), t), "`log_softmax` in your loop works along axis 3"),
        (lambda s: s.log_softmax(-1), picked, "over axis 3"),
        (None, overlap, "`softmax` in your loop works along axis 3"),
        (
            lambda s: s.log_softmax(-1),
            lambda out, t: F.nll_loss(out.permute(0, 2, 3, 1).reshape(-1, 3), t.flatten()),
            "over axis 3",
        ),
    ],
)  # fmt: skip
def test_the_places_of_a_picture_instead_of_the_classes_are_an_error(watched, last, loss, words):
    finding = found(watched, Segmenter(last), (IMAGES, MASKS), loss)
    assert finding.severity == "error", finding.message
    assert words in finding.message
    assert "dim=1" in finding.remedy.text
    assert finding.evidence["axis_of_classes"] == 1


@pytest.mark.parametrize(
    ("last", "loss", "classes"),
    [
        (lambda s: s.log_softmax(1), lambda out, t: F.nll_loss(out.transpose(1, 2), t), 2),
        (lambda s: s.log_softmax(0), lambda out, t: F.nll_loss(out.reshape(-1, 4), t.flatten()), 2),
        (lambda s: s.transpose(1, 2).log_softmax(2), F.nll_loss, 1),
        (lambda s: s.softmax(1), lambda out, t: -(F.one_hot(t, 4) * out.log()).sum(-1).mean(), 2),
    ],
)
def test_the_words_of_a_text_instead_of_the_classes_are_an_error(watched, last, loss, classes):
    finding = found(watched, Tagger(last), (TEXTS, TAGS), loss)
    assert finding.severity == "error", finding.message
    assert f"dim={classes}" in finding.remedy.text


def test_rows_with_a_one_say_where_the_classes_are(watched):
    rows = F.one_hot(MASKS, 3).permute(0, 3, 1, 2).float()
    assert found(watched, Segmenter(nn.Softmax(dim=3)), (IMAGES, rows), nn.BCELoss()).severity == "error"
    assert found(watched, Segmenter(nn.Softmax(dim=1)), (IMAGES, rows), nn.BCELoss()).severity == "ok"
    assert found(watched, Segmenter(nn.LogSoftmax(dim=2)), (IMAGES, rows), nn.KLDivLoss()).severity == "error"
    assert found(watched, Segmenter(nn.LogSoftmax(dim=1)), (IMAGES, rows), nn.KLDivLoss()).severity == "ok"


@pytest.mark.parametrize(
    ("model", "data", "loss"),
    [
        (Segmenter(nn.LogSoftmax(dim=1)), (IMAGES, MASKS), nn.NLLLoss()),
        (Segmenter(nn.LogSoftmax(dim=-3)), (IMAGES, MASKS), nn.NLLLoss()),
        (Segmenter(nn.LogSoftmax(dim=1)), (IMAGES, MASKS), picked),
        (
            Segmenter(lambda s: s.permute(0, 2, 3, 1).log_softmax(-1).permute(0, 3, 1, 2).contiguous()),
            (IMAGES, MASKS),
            nn.NLLLoss(),
        ),
        (
            Segmenter(lambda s: s.permute(0, 2, 3, 1).reshape(-1, 3).log_softmax(-1)),
            (IMAGES, MASKS),
            lambda out, t: F.nll_loss(out, t.flatten()),
        ),
        (
            Segmenter(),
            (IMAGES, MASKS),
            lambda out, t: -(out.softmax(1) * F.one_hot(t, 3).permute(0, 3, 1, 2)).sum(1).mean(),
        ),
        (Tagger(nn.LogSoftmax(dim=-1)), (TEXTS, TAGS), lambda out, t: F.nll_loss(out.transpose(1, 2), t)),
        (Tagger(nn.LogSoftmax(dim=-1)), (TEXTS, TAGS), lambda out, t: F.nll_loss(out.view(-1, 4), t.view(-1))),
        (Tagger(nn.LogSoftmax(dim=-1)), (TEXTS, TAGS), lambda out, t: -(F.one_hot(t, 4) * out).sum(-1).mean()),
        (
            Tagger(lambda s: s.transpose(0, 1).log_softmax(-1)),
            (TEXTS, TAGS),
            lambda out, t: F.nll_loss(out.permute(1, 2, 0), t),
        ),
        (Tagger(lambda s: s.transpose(1, 2).log_softmax(1)), (TEXTS, TAGS), nn.NLLLoss()),
        # as many places as classes: which word points to which
        (Tagger(lambda s: s.log_softmax(2).transpose(1, 2), outputs=7), (TEXTS, RANKS), nn.NLLLoss()),
        (Tagger(lambda s: s.log_softmax(1), outputs=7), (TEXTS, RANKS), nn.NLLLoss()),
        # the one place of a text that is looked for, twice
        (
            Tagger(nn.LogSoftmax(dim=1), outputs=2),
            (TEXTS, RANKS[:, :2]),
            lambda out, t: F.nll_loss(out[..., 0], t[:, 0]) + F.nll_loss(out[..., 1], t[:, 1]),
        ),
        (Tagger(nn.LogSoftmax(dim=1), outputs=2), (TEXTS, RANKS[:, :2]), nn.NLLLoss()),
    ],
)
def test_what_goes_over_the_classes_is_left_alone(watched, model, data, loss):
    finding = found(watched, model, data, loss)
    assert finding.severity == "ok", finding.message


def test_attention_over_the_words_is_no_prediction(watched):
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.look, self.head = nn.Embedding(9, 8), nn.Linear(8, 1), nn.Linear(8, 4)

        def forward(self, x):
            h = self.body(x)
            return self.head((self.look(h).softmax(1) * h).sum(1))

    assert found(watched, Reader(), (TEXTS, TAGS[:, 0]), nn.CrossEntropyLoss()).severity == "ok"
