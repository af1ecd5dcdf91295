import io
import itertools
import queue
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import nn_inspector as nni
from nn_inspector import ExperimentError
from nn_inspector.experiments import BatchSource
from tests.trainings import Case, assert_equal, blobs, classifier, state_of

DATA = blobs(400)


class Shared(IterableDataset):
    """Every pass goes on where the last one stopped."""

    def __init__(self, make):
        self.stream = make()

    def __iter__(self):
        return self.stream


class Within(Shared):
    def __iter__(self):
        yield from self.stream


class Queued(IterableDataset):
    def __init__(self):
        self.waiting = queue.Queue()
        for item in DATA:
            self.waiting.put(item)

    def __iter__(self):
        while not self.waiting.empty():
            yield self.waiting.get()


class Lines(IterableDataset):
    def __init__(self, file):
        self.file = file

    def __iter__(self):
        for line in self.file:
            yield torch.full((8,), float(line)), int(line) % 4


class Closed(io.RawIOBase):
    """A pipe: it has no position."""

    def readable(self):
        return True


def closure():
    stream = iter([DATA[i] for i in range(400)])

    class Hidden(IterableDataset):
        def __iter__(self):
            yield from stream

    return Hidden()


def resuming():
    class Resuming(IterableDataset):
        """Remembers where it was, in a plain number."""

        position = 0

        def __iter__(self):
            while self.position < 400:
                self.position += 1
                yield DATA[self.position - 1]
            self.position = 0

    return Resuming()


class Paired(Dataset):
    def __init__(self):
        self.other = itertools.cycle(range(4))

    def __len__(self):
        return 400

    def __getitem__(self, index):
        return DATA[index][0], next(self.other)


USED_UP = {
    "the same iterator": lambda: Shared(lambda: iter([DATA[i] for i in range(400)])),
    "a generator": lambda: Shared(lambda: (item for item in DATA)),
    "a generator inside": lambda: Within(lambda: (item for item in DATA)),
    "map": lambda: Within(lambda: map(DATA.__getitem__, range(400))),
    "a queue": Queued,
    "a pipe": lambda: Lines(io.BufferedReader(Closed())),
    "in a closure": closure,
    "an iterator among items": Paired,
}


@pytest.mark.parametrize("kind", USED_UP)
def test_a_stream_is_not_used_up(kind):
    data = USED_UP[kind]()
    with pytest.raises(ExperimentError, match=r"can be read only once.*train_loader=\[\.\.\.\]"):
        BatchSource(DataLoader(data, batch_size=16))


def test_a_check_in_the_middle_of_a_stream_takes_nothing_from_it():
    case = classifier()
    case.train_loader = DataLoader(Shared(lambda: iter([DATA[i] for i in range(400)])), batch_size=16)
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        steps = 0
        for x, y in case.train_loader:
            case.optimizer.zero_grad()
            case.loss_fn(case.model(x), y).backward()
            case.optimizer.step()
            steps += 1
            if steps == 3:
                findings = inspector.diagnose(budget=300).findings
    assert steps == 25
    assert any("can be read only once" in finding.message for finding in findings if finding.severity == "skipped")


def test_a_file_is_left_at_its_position(tmp_path):
    path = tmp_path / "numbers.txt"
    path.write_text("\n".join(str(number) for number in range(200)))
    with path.open() as file:
        for _ in range(10):
            file.readline()
        source = BatchSource(DataLoader(Lines(file), batch_size=8))
        assert source.as_loaded(1)[0][1].tolist() == [n % 4 for n in range(10, 18)]
        assert file.readline() == "10\n"
        next(file)
        with pytest.raises(ExperimentError, match="can be read only once"):
            BatchSource(DataLoader(Lines(file), batch_size=8))


def test_a_stream_that_remembers_its_place_keeps_it():
    data = resuming()
    stream = iter(data)
    for _ in range(10):
        next(stream)
    source = BatchSource(DataLoader(data, batch_size=8))
    assert torch.equal(source.as_loaded(1)[0][1], DATA.tensors[1][10:18])
    assert data.position == 10
    assert torch.equal(next(stream)[0], DATA[10][0])


# Generators of the data set's own

GLOBAL = np.random.default_rng(5)


class Noisy(Dataset):
    def __init__(self, draw, **own):
        vars(self).update(own)
        self.draw = draw

    def __len__(self):
        return 96

    def __getitem__(self, index):
        x, y = DATA[index]
        return x + float(self.draw(self)), y


class Transform:
    def __init__(self):
        self.generator = np.random.RandomState(3)

    def __call__(self, x):
        return x + self.generator.rand()


class ClassLevel(Noisy):
    generator = np.random.default_rng(9)


def in_closure():
    generator = random.Random(3)
    return lambda self: generator.random()


class Counting:
    def __init__(self):
        self.calls = 0

    def __call__(self, items):
        self.calls += 1
        x, y = torch.utils.data.default_collate(items)
        return x + self.calls, y


def lazily(data):
    if data.table is None:
        data.table = {}
    data.table[len(data.table)] = 1
    data.seen.append(1)
    return len(data.table) + len(data.seen)


OWN_STATE = {
    "numpy generator": lambda: {"data": Noisy(lambda d: d.rng.normal(), rng=np.random.default_rng(1))},
    "random state": lambda: {"data": Noisy(lambda d: d.rng.rand(), rng=np.random.RandomState(1))},
    "python": lambda: {"data": Noisy(lambda d: d.rng.random(), rng=random.Random(1))},
    "torch": lambda: {"data": Noisy(lambda d: torch.rand((), generator=d.rng), rng=torch.Generator().manual_seed(1))},
    "in a list of transforms": lambda: {"data": Noisy(lambda d: d.steps[0](0.0), steps=[Transform()])},
    "in a closure": lambda: {"data": Noisy(in_closure())},
    "global variable": lambda: {"data": Noisy(lambda d: GLOBAL.normal())},
    "of the class": lambda: {"data": ClassLevel(lambda d: d.generator.normal())},
    "counter in collate": lambda: {"data": blobs(), "collate_fn": Counting()},
    "lazy table and list": lambda: {"data": Noisy(lazily, table=None, seen=[])},
    "array": lambda: {"data": Noisy(lambda d: d.seen.__iadd__(1).sum(), seen=np.zeros(4))},
    "tensor": lambda: {"data": Noisy(lambda d: d.seen.add_(1).sum(), seen=torch.zeros(4))},
    "sampler": lambda: {
        "data": blobs(),
        "sampler": torch.utils.data.RandomSampler(range(96), generator=torch.Generator().manual_seed(3)),
        "shuffle": None,
    },
    "loader": lambda: {"data": blobs(), "generator": torch.Generator().manual_seed(3)},
    "workers": lambda: {"data": Noisy(lambda d: torch.rand(())), "num_workers": 1},
    "worker generator": lambda: {
        "data": Noisy(lambda d: d.rng.normal(), rng=np.random.default_rng(1)),
        "num_workers": 1,
        "generator": torch.Generator().manual_seed(3),
    },
}


READERS = ("missing_values", "label_alignment", "shuffling", "small_subset_fit")


@pytest.mark.parametrize("kind", OWN_STATE)
def test_a_diagnosis_between_epochs_changes_no_later_loss(kind):
    def make():
        GLOBAL.bit_generator.state = np.random.default_rng(5).bit_generator.state
        ClassLevel.generator.bit_generator.state = np.random.default_rng(9).bit_generator.state
        torch.manual_seed(0)
        options = OWN_STATE[kind]()
        case = classifier()
        torch.manual_seed(1)
        data = options.pop("data")
        return Case(
            case.model, case.optimizer, case.loss_fn, DataLoader(data, batch_size=16, **{"shuffle": True, **options})
        )

    bare = make()
    losses = bare.run(1) + bare.run(1)
    expected = state_of(bare)

    case = make()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        watched = case.run(1)
        if kind == "torch":
            findings = inspector.diagnose(budget=300).findings
        else:  # these read the data in each of the ways that there are, and train on them
            findings = [inspector.check(name) for name in READERS]
        watched += case.run(1)
    assert watched == losses
    assert_equal(state_of(case), expected)
    assert not [finding for finding in findings if "failed itself" in finding.message]


def test_what_works_in_place_does_not_change_the_users_batches():
    class InPlace(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(8, 4)

        def forward(self, x):
            return self.layer(x.sub_(x.mean(0)).mul_(2))

    model = InPlace()
    batches = [tuple(t.clone() for t in blobs(16, seed=seed).tensors) for seed in range(4)]
    before = [x.clone() for x, _ in batches]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer, torch.nn.CrossEntropyLoss(), train_loader=batches) as inspector:
        inspector.diagnose(budget=300)
    assert all(torch.equal(x, old) for (x, _), old in zip(batches, before, strict=True))


def test_the_data_of_a_tensor_data_set_are_not_copied():
    data = TensorDataset(torch.zeros(10, 4), torch.zeros(10))
    assert BatchSource(DataLoader(data, batch_size=2)).mixed(1)[0][0].shape == (2, 4)
