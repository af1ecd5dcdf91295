"""Whether the axis of the batch is taken away, where another one is as long by chance."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import Case

BATCH = TIMES = 6
FEATURES, CLASSES = 5, 4


class Network(nn.Module):
    """A layer at each time of [batch, time, features], and what `pool(self, h)` makes of that."""

    def __init__(self, pool, outputs=CLASSES):
        super().__init__()
        self.layer, self.head = nn.Linear(FEATURES, 8), nn.Linear(8, outputs)
        self.pool = pool

    def forward(self, x):
        return self.head(self.pool(self, self.layer(x).relu()))


class Recurrent(nn.Module):
    def __init__(self, last):
        super().__init__()
        self.rnn, self.head = nn.GRU(FEATURES, 8, batch_first=True), nn.Linear(8, CLASSES)
        self.last = last

    def forward(self, x):
        return self.head(self.last(self.rnn(x)[0]))


class Padding(Network):
    """Works on batches of one size, which it fills up with zeros."""

    def forward(self, x):
        whole = x.new_zeros(BATCH, *x.shape[1:])
        whole[: len(x)] = x
        return super().forward(whole)


class Table(nn.Module):
    """Answers for all nodes of a graph, whatever it is given."""

    def __init__(self):
        super().__init__()
        self.nodes = nn.Parameter(torch.randn(BATCH, CLASSES))

    def forward(self, x):
        return self.nodes


def case(model, *, times=TIMES, loss_fn=None, targets=None, shuffle=True, collate=None):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(10 * BATCH, times, FEATURES, generator=generator)
    labels = torch.randint(0, CLASSES, (10 * BATCH,), generator=generator) if targets is None else targets
    loader = DataLoader(TensorDataset(inputs, labels), batch_size=BATCH, shuffle=shuffle, collate_fn=collate)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Case(model, optimizer, loss_fn or nn.CrossEntropyLoss(), loader)


@pytest.mark.parametrize(
    ("make", "call", "where"),
    [
        (lambda: Network(lambda _, h: h.mean(0)), "mean() makes [6, 8] of [6, 6, 8]", "model"),
        (lambda: Network(lambda _, h: h.sum(dim=0)), "sum() makes [6, 8]", "model"),
        (lambda: Network(lambda _, h: h.max(0).values), "max() makes [6, 8]", "model"),
        (lambda: Network(lambda _, h: h[-1]), "getitem() makes [6, 8]", "model"),
        (lambda: Network(lambda _, h: torch.einsum("btf->tf", h)), "einsum() makes [6, 8]", "model"),
        (lambda: Recurrent(lambda out: out[-1]), "getitem() makes [6, 8]", "model"),
        (lambda: nn.Sequential(Network(lambda _, h: h.mean(0)), nn.Tanh()), "mean() makes", "0"),
    ],
    ids=["mean", "sum", "maximum", "the last one", "einsum", "the last one of a recurrent layer", "within a part"],
)
def test_an_axis_that_is_taken_away_is_an_error(watched, make, call, where):
    torch.manual_seed(0)
    finding = watched(case(make()), lambda c: c.run(2)).check("batch_dependency")
    assert finding.severity == "error", finding.message
    assert "A batch of 5 items gets 6 answers, as one of 6 does" in finding.message
    assert call in finding.message
    assert finding.where == where
    assert "dim=1" in finding.remedy.code


SOUND = {
    "the mean over time": lambda: case(Network(lambda _, h: h.mean(1))),
    "the last time": lambda: case(Recurrent(lambda out: out[:, -1])),
    "time first, and the last one": lambda: case(Network(lambda _, h: h.transpose(0, 1)[-1])),
    "time first, and the mean": lambda: case(Network(lambda _, h: h.permute(1, 0, 2).mean(0))),
    "an answer for each time, time first": lambda: case(
        Network(lambda _, h: h.transpose(0, 1)),
        loss_fn=lambda output, y: nn.functional.cross_entropy(output.mean(0), y),
    ),
    "batches that are filled up": lambda: case(Padding(lambda _, h: h.mean(1))),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_items_that_keep_their_axis_pass(watched, name):
    torch.manual_seed(0)
    finding = watched(SOUND[name](), lambda c: c.run(2)).check("batch_dependency")
    assert finding.severity == "ok", finding.message


def time_first(items):
    """Batches [time, batch, features], as recurrent layers take them by default."""
    inputs, labels = zip(*items, strict=True)
    return torch.stack(inputs, 1), torch.stack(labels)


@pytest.mark.parametrize(
    "make",
    [
        lambda: case(Network(lambda _, h: h.mean(0)), collate=time_first),
        lambda: case(Table()),
        lambda: case(
            Network(lambda _, h: h.mean((0, 1))[None].expand(BATCH, -1)),
            loss_fn=lambda output, y: (output[0] - y.double().mean()).square().mean(),
        ),
    ],
    ids=["batches with time first", "nothing is looked at", "an answer for the whole batch"],
)
def test_what_need_not_follow_the_items_is_no_error(watched, make):
    torch.manual_seed(0)
    finding = watched(make(), lambda c: c.run(2)).check("batch_dependency")
    assert finding.severity in ("ok", "info", "skipped"), finding.message


def test_a_step_that_turns_the_axes_before_the_model_is_left_alone(watched):
    def step(model, batch):
        x, y = batch
        return nn.functional.cross_entropy(model(x.transpose(0, 1)), y)

    torch.manual_seed(0)
    training = case(Network(lambda _, h: h.mean(0)))
    finding = watched(training, lambda c: None, step=step).check("batch_dependency")
    assert finding.severity == "ok", finding.message
