import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, WeightedRandomSampler

from nn_inspector import ExperimentError
from nn_inspector.experiments import BatchSource, batch_size, distinct_items

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


def test_size_of_mixed_batches():
    assert [len(b[1]) for b in BatchSource(LOADERS["map-style"]()).mixed(3, size=16)] == [16, 16, 8]


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
