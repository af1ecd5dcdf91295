"""Whether an answer depends on where in its batch an item stands."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import Case

ITEMS, TIMES, FEATURES, CLASSES = 160, 7, 6, 3


def whence(seed=0):
    """Whether the larger value comes first: only the order tells."""
    generator = torch.Generator().manual_seed(seed)
    inputs = 0.1 * torch.randn(ITEMS, TIMES, FEATURES, generator=generator)
    labels = torch.randint(0, 2, (ITEMS,), generator=generator)
    inputs[torch.arange(ITEMS), 1, labels] += 2
    inputs[torch.arange(ITEMS), 5, 1 - labels] += 2
    return TensorDataset(inputs, labels)


class Placed(nn.Module):
    """An encoder whose positions are added by `place(self, x)`."""

    def __init__(self, place, make=None):
        super().__init__()
        self.register_buffer("pe", torch.randn(64, FEATURES, generator=torch.Generator().manual_seed(3)))
        self.made = make() if make else None
        self.place = place
        self.encoder = nn.TransformerEncoderLayer(FEATURES, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, x):
        return self.head(self.encoder(self.place(self, x)).mean(1))


def along_batch(model, x):
    return x + model.pe[: x.size(0), None]


def embedded(model, x):
    return x + model.made(torch.arange(x.size(0)))[:, None]


def scaled(model, x):
    return x * (1 + model.pe[: len(x), :1, None])


def along_time(model, x):
    return x + model.pe[: x.size(1)]


def time_first(model, x):
    return (x.transpose(0, 1) + model.pe[: x.size(1), None]).transpose(0, 1)


def noisy(model, x):
    return x + torch.randn(len(x), 1, FEATURES)


def noisy_alike(model, x):
    """Noise that is the same at each call."""
    return x + torch.randn(len(x), 1, FEATURES, generator=torch.Generator().manual_seed(0))


def halves(model, x):
    """The second half of the batch is another view."""
    sign = torch.ones(len(x), 1, 1)
    sign[len(x) // 2 :] = -1
    return x * sign


def members(model, x):
    """Each quarter of the batch goes to another member of an ensemble."""
    which = torch.arange(len(x)) * 4 // len(x)
    return x + model.pe[which][:, None]


def others(model, x):
    """The mean of all other items is taken away."""
    apart = 1 - torch.eye(len(x))
    return x - torch.einsum("ij,jtf->itf", apart, x) / (len(x) - 1)


def training(place, make=None, *, loader=None, batch_size=16):
    torch.manual_seed(0)
    model = Placed(place, make)
    loader = loader or DataLoader(whence(), batch_size=batch_size, shuffle=True)
    return Case(model, torch.optim.Adam(model.parameters(), lr=3e-3), nn.CrossEntropyLoss(), loader)


@pytest.mark.parametrize(
    ("place", "make", "said"),
    [
        (along_batch, None, "add() brings in a part [16, 1, 6] of pe"),
        (embedded, lambda: nn.Embedding(64, FEATURES), "a part [16, 1, 6] of made.weight"),
        (scaled, None, "mul() brings in a part [16, 1, 1] of pe"),
    ],
    ids=["buffer", "embedding", "factor"],
)
def test_positions_that_are_counted_along_the_batch_are_an_error_where_little_is_learned(watched, place, make, said):
    finding = watched(training(place, make), lambda case: case.run(10)).check("batch_dependency")
    assert finding.severity == "error", finding.message
    assert "depends on where in the batch it stands" in finding.message
    assert said in finding.message
    assert finding.where == "model"
    assert finding.basis == "structure"
    assert "pe[: x.size(1)]" in finding.remedy.code


def test_they_are_a_warning_where_the_training_did_well(watched):
    labels = torch.arange(ITEMS) % 2
    inputs = torch.randn(ITEMS, TIMES, FEATURES, generator=torch.Generator().manual_seed(0))
    inputs[..., 0] += 10 * labels[:, None] - 5
    case = training(along_batch, loader=DataLoader(TensorDataset(inputs, labels), batch_size=16, shuffle=True))
    finding = watched(case, lambda case: case.run(20)).check("batch_dependency")
    assert finding.severity == "warning", finding.message


@pytest.mark.parametrize("place", [along_time, time_first, noisy_alike, halves, members])
def test_what_tells_no_place_or_is_meant_passes(watched, place):
    finding = watched(training(place), lambda case: case.run(2)).check("batch_dependency")
    assert finding.severity == "ok", finding.message


def test_as_many_items_as_times_are_told_apart(watched):
    finding = watched(training(along_time, batch_size=TIMES), lambda case: case.run(2)).check("batch_dependency")
    assert finding.severity == "ok", finding.message


@pytest.mark.parametrize("place", [noisy, others])
def test_noise_and_other_items_are_not_taken_for_places(watched, place):
    finding = watched(training(place), lambda case: case.run(2)).check("batch_dependency")
    assert "where in the batch" not in finding.message


def one_sequence(items):
    """The batch is one sequence: its first axis is time."""
    return items[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda data: DataLoader(data, batch_size=16),
        lambda data: [tuple(tensor[i : i + 16] for tensor in data.tensors) for i in range(0, ITEMS, 16)],
        lambda data: DataLoader(
            [tuple(tensor[i : i + 16] for tensor in data.tensors) for i in range(0, ITEMS, 16)], batch_size=None, shuffle=True
        ),
        lambda data: DataLoader(
            [tuple(tensor[i : i + 16] for tensor in data.tensors) for i in range(0, ITEMS, 16)],
            batch_size=1,
            shuffle=True,
            collate_fn=one_sequence,
        ),
    ],
    ids=["in order", "a list", "whole sequences", "whole sequences, collated"],
)  # fmt: skip
def test_batches_whose_first_axis_may_be_time_pass(watched, make):
    finding = watched(training(along_batch, loader=make(whence())), lambda case: case.run(2)).check("batch_dependency")
    assert "where in the batch" not in finding.message, finding.message


def test_a_model_that_keeps_a_start_for_each_place_is_left_alone(watched):
    class Started(nn.Module):
        def __init__(self):
            super().__init__()
            self.start = nn.Parameter(torch.randn(1, 16, 8))
            self.layer, self.head = nn.GRU(FEATURES, 8, batch_first=True), nn.Linear(8, CLASSES)

        def forward(self, x):
            return self.head(self.layer(x, self.start)[0][:, -1])

    model = Started()
    loader = DataLoader(whence(), batch_size=16, shuffle=True)
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), loader)
    assert "where in the batch" not in watched(case).check("batch_dependency").message
