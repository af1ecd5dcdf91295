import threading
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from nn_inspector import ArgumentError, ExperimentError
from nn_inspector.experiments import BatchSource, batch_size, distinct_items
from nn_inspector.experiments.batch_contents import tensors_of, to_device

NUMBERS = TensorDataset(torch.arange(40.0)[:, None], torch.arange(40))


class Stream(IterableDataset):
    def __init__(self):
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        yield from (NUMBERS[index] for index in range(40))


class Reusable:
    """An iterable of the user's own."""

    def __iter__(self):
        return iter([(torch.full((4, 1), float(n)), torch.full((4,), n)) for n in range(10)])


def items(batches):
    return torch.cat([batch[1] for batch in batches]).tolist()


LOADERS = {
    "map-style": lambda: DataLoader(NUMBERS, batch_size=8),
    "shuffled": lambda: DataLoader(NUMBERS, batch_size=8, shuffle=True),
    "own generator": lambda: DataLoader(
        NUMBERS, batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(3)
    ),
    "workers": lambda: DataLoader(NUMBERS, batch_size=8, shuffle=True, num_workers=2),
    "persistent": lambda: DataLoader(NUMBERS, batch_size=8, num_workers=1, persistent_workers=True),
    "sampler": lambda: DataLoader(NUMBERS, batch_size=8, sampler=WeightedRandomSampler([1.0] * 40, 40)),
    "batch sampler": lambda: DataLoader(NUMBERS, batch_sampler=[[0, 1], [2, 3], [4, 5]]),
    "iterable": lambda: DataLoader(Stream(), batch_size=8),
    "list": lambda: [(torch.zeros(8, 1), torch.arange(8 * n, 8 * n + 8)) for n in range(5)],
    "own class": Reusable,
}


@pytest.mark.parametrize("kind", LOADERS)
def test_no_generator_moves_and_no_pass_is_begun(kind):
    loader = LOADERS[kind]()
    state, numpy = torch.get_rng_state(), np.random.get_state()[1].tolist()
    own = getattr(loader, "generator", None)
    own_state = own.get_state() if own is not None else None
    source = BatchSource(loader)
    assert len(source.as_loaded(3)) == 3
    assert len(source.mixed(2)) == 2
    assert torch.equal(torch.get_rng_state(), state)
    assert np.random.get_state()[1].tolist() == numpy
    assert own is None or torch.equal(own.get_state(), own_state)
    assert getattr(loader, "_iterator", None) is None


@pytest.mark.parametrize("kind", ["map-style", "iterable", "list"])
def test_as_loaded_keeps_the_order(kind):
    assert items(BatchSource(LOADERS[kind]()).as_loaded(5)) == list(range(40))


@pytest.mark.parametrize("kind", ["map-style", "shuffled", "iterable", "list"])
def test_mixed_holds_every_item_once_in_another_order(kind):
    drawn = items(BatchSource(LOADERS[kind]()).mixed(5))
    assert sorted(drawn) == list(range(40))
    assert drawn != sorted(drawn)


@pytest.mark.parametrize("kind", LOADERS)
def test_the_same_seed_draws_the_same(kind):
    loader = LOADERS[kind]()
    assert items(BatchSource(loader, seed=5).mixed(2)) == items(BatchSource(loader, seed=5).mixed(2))


@pytest.mark.parametrize("kind", ["map-style", "iterable", "list"])
def test_mixed_batches_have_one_size(kind):
    source = BatchSource(LOADERS[kind]())
    assert [len(b[1]) for b in source.mixed(3, size=16)] == [16, 16]
    assert [len(b[1]) for b in source.mixed(3, size=64)] == [40]


def sizes(batches):
    return [batch_size(batch) for batch in batches]


ITEMS = TensorDataset(torch.arange(65.0)[:, None], torch.arange(65))


@pytest.mark.parametrize(
    ("loader", "loaded", "mixed"),
    [
        (DataLoader(ITEMS, batch_size=16, drop_last=True), [16] * 4, [16] * 4),
        (DataLoader(ITEMS, batch_size=16), [16] * 4, [16] * 4),
        (DataLoader(ITEMS, batch_size=15), [15] * 4 + [5], [15] * 4),
        (DataLoader(ITEMS, batch_size=1), [1] * 20, [1] * 20),
        (DataLoader(ITEMS, batch_sampler=BatchSampler(range(65), 16, drop_last=False)), [16] * 4, [16] * 4),
        (DataLoader(ITEMS, batch_sampler=[[0, 1, 2], [3, 4, 5], [6]]), [3, 3], [3, 3]),
        (DataLoader(ITEMS, batch_size=None), [1] * 20, [1] * 20),
        ([(torch.zeros(16, 1), torch.zeros(16))] * 4 + [(torch.zeros(1, 1), torch.zeros(1))], [16] * 4, [16] * 4),
    ],
    ids=["drop last", "rest of one", "a rest", "one by one", "batch sampler", "own batches", "no batches", "list"],
)
def test_batches_are_as_large_as_the_loaders_own(loader, loaded, mixed):
    def size(batch):
        return len(batch[1]) if batch[1].dim() else 1

    source = BatchSource(loader)
    assert [size(batch) for batch in source.as_loaded(20)] == loaded
    assert [size(batch) for batch in source.mixed(20)] == mixed
    for_training, judge = source.for_training(20)
    assert size(judge) == size(for_training[0]) == mixed[0]


@pytest.mark.parametrize("count", [0, -1, None, 2.0, True])
def test_a_number_of_batches_that_is_none_is_refused(count):
    source = BatchSource(LOADERS["map-style"]())
    for ask in (source.as_loaded, source.mixed, source.for_training, lambda n: source.mixed(1, size=n or 0)):
        with pytest.raises(ArgumentError, match="expected a whole number from 1"):
            ask(count)


@pytest.mark.parametrize("seconds", [0, -1, None, "long", float("nan")])
def test_a_time_that_is_none_is_refused(seconds):
    with pytest.raises(ArgumentError, match="seconds above 0"):
        BatchSource(LOADERS["map-style"](), seconds=seconds)


def test_drawing_ends_with_its_time_and_its_memory(monkeypatch):
    assert len(BatchSource(LOADERS["map-style"](), seconds=1e-9).mixed(5)) == 1
    monkeypatch.setattr("nn_inspector.experiments.batches._MOST_BYTES", 200)
    assert len(BatchSource(LOADERS["map-style"]()).as_loaded(5)) == 3


@pytest.mark.parametrize(
    "sampler",
    [
        SubsetRandomSampler(range(10)),
        WeightedRandomSampler([1.0] * 10 + [0.0] * 30, 40),
        BatchSampler(SubsetRandomSampler(range(10)), 5, drop_last=False),
    ],
    ids=["subset", "weights", "batches of a subset"],
)
def test_mixed_holds_only_items_that_the_sampler_gives(sampler):
    option = {"batch_sampler": sampler} if isinstance(sampler, BatchSampler) else {"sampler": sampler, "batch_size": 5}
    drawn = items(BatchSource(DataLoader(NUMBERS, **option)).mixed(2))
    assert len(drawn) == 10
    assert max(drawn) < 10


def test_a_long_list_is_mixed_over_all_of_it():
    batches = [(torch.zeros(4, 1), torch.full((4,), number // 100)) for number in range(400)]
    drawn = items(BatchSource(batches).mixed(10))
    assert len(set(drawn)) == 4


@pytest.mark.parametrize("kind", ["dict", "nested", "named tuple", "padded", "texts"])
def test_streams_of_any_structure_are_mixed(kind):
    Pair = namedtuple("Pair", "x y")  # noqa: PYI024 - torch's collate makes such
    make = {
        "dict": lambda n: {"x": torch.full((4, 2), float(n)), "y": torch.arange(4 * n, 4 * n + 4)},
        "nested": lambda n: [(torch.zeros(4, 2), torch.zeros(4)), {"y": torch.arange(4 * n, 4 * n + 4)}],
        "named tuple": lambda n: Pair(torch.zeros(4, 2), torch.arange(4 * n, 4 * n + 4)),
        "padded": lambda n: (torch.zeros(4, n + 1), torch.arange(4 * n, 4 * n + 4)),
        "texts": lambda n: (["a"] * 4, torch.arange(4 * n, 4 * n + 4)),
    }[kind]
    mixed = BatchSource([make(n) for n in range(10)]).mixed(10)
    assert type(mixed[0]) is type(make(0))
    seen = [list(tensors_of(batch))[-1].tolist() for batch in mixed]
    assert sorted(n for batch in seen for n in batch) == list(range(40))
    assert seen != sorted(seen)


def test_items_that_come_in_one_go_are_fetched_in_one_go():
    class Many(Dataset):
        def __len__(self):
            return 40

        def __getitems__(self, indices):
            return [NUMBERS[index] for index in indices]

    assert sorted(items(BatchSource(DataLoader(Many(), batch_size=8)).mixed(5))) == list(range(40))


def test_data_that_cannot_be_read_here_are_said_to_be_so():
    class OnlyInWorkers(Dataset):
        def __len__(self):
            return 40

        def __getitem__(self, index):
            raise KeyError("worker")

    with pytest.raises(ExperimentError, match=r"could not be read \(KeyError: 'worker'\).*train_loader.dataset\[0\]"):
        BatchSource(DataLoader(OnlyInWorkers(), batch_size=8)).mixed(1)


def test_a_sampler_that_cannot_be_copied_is_said_to_be_so():
    class Locked:
        batch_size = 8

        def __init__(self):
            self.lock = threading.Lock()

        def __iter__(self):
            return iter([[0, 1]])

    source = BatchSource(DataLoader(NUMBERS, batch_sampler=Locked()))
    with pytest.raises(ExperimentError, match="sampler of train_loader cannot be copied"):
        source.as_loaded(1)


def test_a_small_data_set_trains_and_judges_on_what_it_has():
    loader = DataLoader(TensorDataset(torch.zeros(4, 1), torch.arange(4)), batch_size=8)
    batches, judge = BatchSource(loader).for_training(50)
    assert len(batches) == 1
    assert batch_size(judge) == 4


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        (None, "no train_loader"),
        (iter([]), "can be read only once"),
        ((b for b in [1]), "can be read only once"),
    ],
    ids=["none", "iterator", "generator"],
)
def test_what_cannot_be_read_again_is_refused(loader, message):
    with pytest.raises(ExperimentError, match=message):
        BatchSource(loader)


def test_distinct_items_leaves_out_repeated_inputs():
    inputs = torch.tensor([[0.0], [1.0], [0.0], [2.0], [1.0]])
    x, y = distinct_items((inputs, torch.arange(5)), 10)
    assert x[:, 0].tolist() == [0.0, 1.0, 2.0]
    assert y.tolist() == [0, 1, 3]
    assert len(distinct_items((inputs, torch.arange(5)), 2)[1]) == 2


def test_distinct_items_of_a_dict():
    batch = {"ids": torch.tensor([[1, 2], [1, 2], [3, 4]]), "name": ["a", "b", "c"]}
    assert distinct_items(batch, 5)["ids"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("form", [list, tuple])
def test_texts_are_chosen_with_their_items(form):
    chosen, _ = distinct_items((form("abc"), torch.tensor([[1, 2], [1, 2], [3, 4]]), torch.arange(3)), 5)[:2]
    assert chosen == form("ac")


@pytest.mark.parametrize("draw", [lambda source: source.mixed(2), lambda source: source.as_loaded(2)])
def test_batches_without_items_are_said_to_be_empty(draw):
    with pytest.raises(ExperimentError, match="hold no items"):
        draw(BatchSource([(torch.zeros(0, 2), torch.zeros(0))] * 3))


FIVE = torch.tensor([[0.0], [1.0], [0.0], [2.0], [1.0]])


@pytest.mark.parametrize(
    "batch",
    [
        (FIVE, torch.arange(5)),
        [FIVE, torch.arange(5), torch.rand(5)],
        (FIVE, torch.rand(5, 1), torch.rand(5)),
        {"x": FIVE, "label": torch.arange(5)},
        {"x": FIVE, "class_id": torch.arange(5), "text": ["a", "b", "c", "d", "e"]},
        {"x": FIVE, "mask": torch.ones(5, 1), "cls": torch.arange(5)},
    ],
    ids=["tuple", "weights", "weights and numbers", "dict", "dict with texts", "dict with a mask"],
)
def test_labels_do_not_make_items_distinct(batch):
    chosen = distinct_items(batch, 10)
    assert batch_size(chosen) == 3
    assert type(chosen) is type(batch)
    if isinstance(batch, dict) and "text" in batch:
        assert chosen["text"] == ["a", "b", "d"]


def test_two_inputs_make_items_distinct():
    assert batch_size(distinct_items((torch.zeros(5, 2), FIVE.repeat(1, 2), torch.arange(5)), 10)) == 3


@pytest.mark.parametrize("count", [0, -1, None])
def test_no_items_are_refused(count):
    with pytest.raises(ArgumentError, match="count: expected a whole number from 1"):
        distinct_items((FIVE, torch.arange(5)), count)


@dataclass
class Record:
    x: torch.Tensor
    name: str


class Owned(UserDict):
    @property
    def x(self):
        return self["x"]


@pytest.mark.parametrize(
    "batch",
    [
        {"x": FIVE},
        Owned(x=FIVE),
        OrderedDict(x=FIVE),
        defaultdict(list, x=FIVE),
        Record(FIVE, "a"),
        namedtuple("Pair", "x y")(FIVE, None),  # noqa: PYI024
        torch.nn.utils.rnn.pack_sequence([FIVE, FIVE[:2]]),
    ],
    ids=["dict", "user dict", "ordered", "default", "data class", "named tuple", "packed sequence"],
)
def test_a_batch_on_a_device_is_of_its_kind_and_no_part_of_the_users(batch):
    moved = to_device(batch, torch.device("cpu"))
    assert type(moved) is type(batch)
    for theirs, own in zip(tensors_of(batch), tensors_of(moved), strict=True):
        assert torch.equal(theirs, own)
    if isinstance(batch, Owned):
        moved.x.add_(1)
        assert batch.x[0] == 0


def test_a_batch_without_a_tensor_has_no_size():
    with pytest.raises(ExperimentError, match=r"should hold tensors, but it is a list of 2 items"):
        batch_size(["a", "b"])


def test_an_unbatched_loader():
    class Whole(Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return torch.full((5, 1), float(index)), torch.full((5,), index)

    loader = DataLoader(Whole(), batch_size=None)
    assert [batch_size(b) for b in BatchSource(loader).as_loaded(3)] == [5, 5, 5]
