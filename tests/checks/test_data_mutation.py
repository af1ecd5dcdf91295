"""data_mutation: stored data that the loop, the model or the data set changes in place."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import nn_inspector as nni
from tests.trainings import CLASSES, FEATURES, assert_equal, blobs, state_of


class Images(Dataset):
    """Items that are made of stored data in one way or another."""

    def __init__(self, make, *, array=False):
        x, self.labels = blobs().tensors
        self.images = 50 + 20 * x
        if array:
            self.images = self.images.numpy()
        self.cache = torch.randn(96)
        self.holes, self.calls = np.random.default_rng(0), 0
        self.make = make

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.make(self, index), self.labels[index]


def in_place(data, index):
    return data.images[index].sub_(50.0).div_(20.0)


def array_in_place(data, index):
    image = data.images[index]
    image -= 50
    return torch.from_numpy(image / 20)


def holes_in_place(data, index):
    image = data.images[index]
    image[torch.randint(FEATURES, (1,))] = 0.0
    return image / 20


def kept_at_first_reading(data, index):
    if data.cache[index] > -100:
        data.cache[index] = -100
        data.images[index] += torch.rand(1)
    return data.images[index] / 20


def holes_of_its_own(data, index):
    data.calls += 1
    image = data.images[index]
    image[data.holes.integers(FEATURES)] = 0.0
    return image / 20


def counting_with_noise(data, index):
    data.cache[index] += 1
    return (data.images[index] + data.holes.normal()) / 20


def fresh(data, index):
    return (data.images[index] - 50) / 20


def counting(data, index):
    data.cache[index] += 1
    return (data.images[index] - 50) / 20


class Shifting(nn.Module):
    def __init__(self, *, in_place):
        super().__init__()
        self.net = nn.Linear(FEATURES, CLASSES)
        self.in_place = in_place

    def forward(self, x):
        if self.in_place:
            x += 0.5
            return self.net(x)
        return self.net(x + 0.5)


def plain(x):
    return x


def divided(x):
    x /= 2
    return x


def watched(loader, model=None, prepare=plain, epochs=3):
    torch.manual_seed(0)
    model = model or nn.Linear(FEATURES, CLASSES)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with nni.watch(model, optimizer, train_loader=loader, show=False) as inspector:
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(prepare(x)), y).backward()
                optimizer.step()
    return inspector


def batches():
    x, y = blobs().tensors
    return list(zip(x.clone().split(16), y.split(16), strict=True))


def whole():
    x, y = blobs().tensors
    return DataLoader(TensorDataset(x.clone(), y), batch_size=None, sampler=[slice(0, 48), slice(48, 96)])


@pytest.mark.parametrize("make", [batches, whole], ids=["list", "loader without copies"])
def test_a_loop_that_works_in_place_is_an_error(make):
    finding = watched(make(), prepare=divided).check("data_mutation", seconds=0)
    assert finding.severity == "error"
    assert finding.message.startswith("No: the loop changes the stored data")
    assert "x = x / 255" in finding.remedy.code
    assert finding.basis == "structure"


def test_a_model_that_works_in_place_is_an_error():
    finding = watched(batches(), Shifting(in_place=True)).check("data_mutation", seconds=0)
    assert finding.severity == "error"
    assert finding.message.startswith("No: the model changes the stored data")
    assert "def forward" in finding.remedy.code


@pytest.mark.parametrize(
    ("make", "array"),
    [(in_place, False), (array_in_place, True), (holes_in_place, False), (holes_of_its_own, False)],
    ids=["tensor", "array", "holes at random", "holes of a generator of its own"],
)
def test_a_data_set_that_changes_its_items_is_an_error_and_is_put_back(make, array):
    data = Images(make, array=array)
    inspector = watched(DataLoader(data, batch_size=16))
    before = state_of(data)
    finding = inspector.check("data_mutation")
    assert finding.severity == "error"
    assert_equal(state_of(data), before)
    assert "the data set changes the stored data, each time an item is read" in finding.message
    assert ".clone()" in finding.remedy.code
    assert "train.images" in finding.where


@pytest.mark.parametrize(
    ("loader", "model", "prepare"),
    [
        (batches(), None, plain),
        (batches(), Shifting(in_place=False), lambda x: x / 2),
        (DataLoader(blobs(), batch_size=16), Shifting(in_place=True), divided),
        (DataLoader(Images(fresh), batch_size=16), None, plain),
    ],
    ids=["list", "new tensors", "copies are changed", "data set"],
)
def test_data_that_stay_as_they_are_pass(loader, model, prepare):
    finding = watched(loader, model, prepare).check("data_mutation")
    assert finding.severity == "ok"


HIDDEN = FEATURES


class Lines(Dataset):
    """Words that are hidden in what is stored, or in a copy; in one tensor, or in a list of tensors."""

    def __init__(self, *, clone, listed):
        words = torch.randint(HIDDEN, (96, 10), generator=torch.Generator().manual_seed(0))
        self.words = list(words) if listed else words
        self.clone = clone

    def __len__(self):
        return len(self.words)

    def __getitem__(self, index):
        return self.hidden(self.words[index]) if not isinstance(self.words, list) else self.words[index]

    def hidden(self, line):
        line = line.clone() if self.clone else line
        line[torch.rand(10) < 0.2] = HIDDEN
        return line, torch.tensor(0)

    def collated(self, lines):
        return tuple(map(torch.stack, zip(*map(self.hidden, lines), strict=True)))


@pytest.mark.parametrize("listed", [False, True], ids=["data set", "collate function"])
@pytest.mark.parametrize("clone", [False, True])
def test_words_that_are_hidden_for_good_are_an_error(clone, listed):
    data = Lines(clone=clone, listed=listed)
    loader = DataLoader(data, batch_size=16, collate_fn=data.collated if listed else None)
    model = nn.Sequential(nn.Embedding(HIDDEN + 1, 4), nn.Flatten(), nn.Linear(40, CLASSES))
    inspector = watched(loader, model, epochs=12)
    before = torch.stack(list(data.words)).clone()
    finding = inspector.check("data_mutation")
    assert torch.equal(torch.stack(list(data.words)), before)
    assert finding.severity == ("ok" if clone else "error"), finding.message
    who = "the collate function" if listed else "the data set"
    assert clone or f"No: {who} changes the stored data, each time an item is read" in finding.message


def test_a_data_set_that_refuses_other_numbers_is_a_remark_only():
    def chosen(data, index):
        data.places[index] *= -1
        if len(set(data.places.abs().tolist())) < 96:
            raise ValueError("two items have the same place")
        return data.images[index] / 70 + data.places[index]

    data = Images(chosen)
    data.places = torch.arange(96)
    assert watched(DataLoader(data, batch_size=1), epochs=1).check("data_mutation").severity == "info"


def test_items_that_are_made_at_their_first_reading_are_a_remark_only():
    finding = watched(DataLoader(Images(kept_at_first_reading), batch_size=16)).check("data_mutation")
    assert finding.severity == "info", finding.message


@pytest.mark.parametrize("make", [counting, counting_with_noise])
def test_a_counter_in_the_data_set_is_a_remark_only(make):
    finding = watched(DataLoader(Images(make), batch_size=16)).check("data_mutation")
    assert finding.severity == "info"
    assert "on purpose" in finding.message


def test_memory_that_waits_to_be_filled_does_not_count():
    data = Images(counting)
    data.cache = torch.zeros(96)
    assert watched(DataLoader(data, batch_size=16)).check("data_mutation").severity == "ok"


def test_without_stored_data_or_steps_it_cannot_say():
    class Made(Dataset):
        def __len__(self):
            return 32

        def __getitem__(self, index):
            return torch.full((FEATURES,), float(index)), index % CLASSES

    assert "nothing can be compared" in watched(DataLoader(Made(), batch_size=16)).check("data_mutation").message
    assert watched(batches(), epochs=0).check("data_mutation").severity == "skipped"


def test_read_only_arrays_are_left_alone():
    data = Images(lambda data, index: torch.from_numpy(data.images[index].copy()), array=True)
    data.images.flags.writeable = False
    data.cache = np.ones(3)
    inspector = watched(DataLoader(data, batch_size=16))
    data.cache[0] = 2
    data.cache[1] = 5
    assert inspector.check("data_mutation").severity in ("ok", "info")


PHASES = 6 * torch.rand(80, generator=torch.Generator().manual_seed(0))
WAVES = torch.stack([(torch.arange(24) * rate / 24 + phase).sin() for rate in (3, 5, 7, 9) for phase in PHASES])


def with_noise(x, size=0.7):
    x += size * torch.randn_like(x)
    return x


def spoil(x):
    return x.add_(torch.randn_like(x), alpha=0.7)


def dequantized(x):
    return x.add_(torch.rand_like(x) / 8)


def standardized(x):
    return x.sub_(0.1).div_(0.7)


def restored(prepare, *, beside=False, one_name=False):
    """An autoencoder whose loop prepares its input so."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 24))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loader = DataLoader(TensorDataset(WAVES.clone()), batch_size=32, shuffle=True)
    loss_fn = nn.MSELoss()

    def two_names():
        for _ in range(20):
            for (x,) in loader:
                given = prepare(x.clone()) if beside else prepare(x)
                optimizer.zero_grad()
                loss_fn(model(given), x).backward()
                optimizer.step()

    def under_one_name():
        for _ in range(20):
            for (x,) in loader:
                prepare(x)
                optimizer.zero_grad()
                loss_fn(model(x), x).backward()
                optimizer.step()

    loop = under_one_name if one_name else two_names
    with nni.watch(model, optimizer, loss_fn, train_loader=loader, loop=loop, show=False) as inspector:
        loop()
        return inspector.check("data_mutation", seconds=120.0)


@pytest.mark.parametrize(("prepare", "line"), [(with_noise, "x += size * torch.randn_like(x)"), (spoil, "x.add_(")])
def test_noise_in_place_that_spoils_the_target_too(prepare, line):
    finding = restored(prepare)
    assert finding.severity == "error", finding.message
    assert "the target `x` is as noisy as the input `given`" in finding.message
    assert line in finding.where
    assert finding.remedy.tried.helped
    assert finding.basis == "experiment"


@pytest.mark.parametrize(
    ("prepare", "options"),
    [
        (with_noise, {"beside": True}),
        (with_noise, {"one_name": True}),
        (dequantized, {}),
        (standardized, {}),
        (lambda x: x, {}),
    ],
    ids=["added to a copy", "asked for by name", "a little noise", "the same each time", "plain"],
)
def test_what_may_be_done_to_a_batch_that_is_input_and_target(prepare, options):
    finding = restored(prepare, **options)
    assert finding.severity == "ok", finding.message
