from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)

import nn_inspector as nni
from nn_inspector.checks.data import shuffling
from tests.trainings import FEATURES, Case, blobs, classifier, mlp, sorted_by_label

HARD = sorted_by_label(blobs(600, spread=2.5))


def test_shuffled_data_pass(watched):
    finding = watched(classifier(data=sorted_by_label(blobs(400))), lambda c: c.run(2)).check("shuffling")
    assert finding.severity == "ok"
    assert finding.evidence["same_order"] == 0


def test_sorted_data_are_an_error_when_shuffling_helps(watched):
    case = classifier(data=HARD, shuffle=False, lr=0.5)
    finding = watched(case, lambda c: c.run(2)).check("shuffling")
    assert finding.severity == "error"
    assert "sorted or grouped by label" in finding.message
    assert "same in every epoch" in finding.message
    assert "shuffle=True" in finding.remedy.code
    assert finding.remedy.tried.helped
    assert finding.where == "train_loader"


def test_sorted_data_are_a_warning_without_a_trial(watched):
    case = classifier(data=sorted_by_label(blobs(600)), shuffle=False)
    assert watched(case, lambda c: c.run(1)).check("shuffling", seconds=0).severity == "warning"


def test_a_trial_that_speaks_against_it_makes_it_a_remark(watched):
    """The labels tell nothing of the loss, so that their order costs nothing."""
    x = torch.randn(600, FEATURES, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(x, torch.arange(600) // 150)
    case = classifier(data=data, shuffle=False)
    case.model = nn.Linear(FEATURES, FEATURES)
    case.optimizer = torch.optim.SGD(case.model.parameters(), lr=0.5)

    def step(model, batch):
        return F.mse_loss(model(batch[0]), batch[0])

    def loop(c):
        for batch in c.train_loader:
            c.optimizer.zero_grad()
            step(c.model, batch).backward()
            c.optimizer.step()

    finding = watched(case, loop, step=step).check("shuffling")
    assert finding.severity == "info"
    assert "did no better, so this does little harm" in finding.message


def test_a_trial_in_which_nothing_learns_does_not_speak_against_it(watched):
    case = classifier(data=HARD, shuffle=False, lr=1e-9)
    finding = watched(case, lambda c: c.run(1)).check("shuffling")
    assert finding.severity == "warning"
    assert not finding.remedy.tried.helped


def test_mixed_data_in_the_same_order_are_a_remark(watched):
    finding = watched(classifier(data=blobs(400), shuffle=False), lambda c: c.run(2)).check("shuffling")
    assert finding.severity == "info"
    assert "Their labels are mixed" in finding.message
    assert finding.evidence["same_order"] == 1


def test_one_epoch_of_mixed_labels_is_enough_to_pass(watched):
    finding = watched(classifier(data=blobs(400)), lambda c: c.run(1)).check("shuffling")
    assert finding.severity == "ok"
    assert "one pass was seen" in finding.message


def first_batches(c):
    for _ in range(12):
        x, y = next(iter(c.train_loader))
        c.optimizer.zero_grad()
        c.loss_fn(c.model(x), y).backward()
        c.optimizer.step()


def test_the_same_first_batch_in_every_step_is_an_error(watched):
    finding = watched(classifier(shuffle=False), first_batches).check("shuffling")
    assert (finding.severity, finding.basis) == ("error", "structure")
    assert "The other 5 of 6 batches are never seen" in finding.message
    assert "next(iter(train_loader))" in finding.remedy.code


def test_a_first_batch_that_is_drawn_anew_passes(watched):
    assert watched(classifier(), first_batches).check("shuffling").severity != "error"


def short_passes(seed=None, batches=2):
    def run(case):
        for number in range(6):
            torch.manual_seed(number if seed is None else seed)
            for place, (x, y) in enumerate(case.train_loader):
                if place == batches:
                    break
                case.optimizer.zero_grad()
                case.loss_fn(case.model(x), y).backward()
                case.optimizer.step()

    return run


@pytest.mark.parametrize(("shuffle", "says"), [(True, "Set the seed once"), (False, "shuffle=True draws them anew")])
def test_short_passes_over_the_same_batches_are_said(watched, shuffle, says):
    finding = watched(classifier(shuffle=shuffle), short_passes(seed=0)).check("shuffling")
    assert (finding.raised, finding.basis) == (True, "structure"), finding.message
    assert "each pass over the train_loader is left after" in finding.message
    assert "of 6 batches are never seen" in finding.message
    assert says in finding.remedy.text


def test_where_the_rest_of_the_data_is_not_learned_it_is_an_error():
    items = torch.randn(400, 40, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(items, (items[:, :8].sum(1) > 0).long())
    loader = DataLoader(data, 16, shuffle=True)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 2))
    case = Case(model, torch.optim.Adam(model.parameters(), lr=0.02), nn.CrossEntropyLoss(), loader)
    with nni.watch(model, case.optimizer, case.loss_fn, train_loader=loader, show=False) as inspector:
        for _ in range(5):
            short_passes(seed=0)(case)
        finding = inspector.check("shuffling")
    assert finding.severity == "error", finding.message


@pytest.mark.parametrize("run", [short_passes(), short_passes(seed=0, batches=5)], ids=["drawn anew", "all but one"])
def test_other_short_passes_pass(watched, run):
    assert not watched(classifier(), run).check("shuffling").raised


class Drawn(Dataset):
    """Each item is made when it is asked for."""

    def __len__(self):
        return 960

    def __getitem__(self, place):
        x = torch.randn(FEATURES)
        return x, int(x[0] > 0)


def test_items_that_are_made_anew_are_not_the_same_ones(watched):
    case = classifier()
    case.train_loader = DataLoader(Drawn(), 16)
    assert not watched(case, short_passes()).check("shuffling").raised


def test_one_batch_holds_everything(watched):
    case = classifier()
    case.train_loader = DataLoader(sorted_by_label(blobs(64)), batch_size=64)
    assert watched(case, lambda c: c.run(3)).check("shuffling").severity == "ok"


# Which labels are read

Y = torch.arange(400) // 100
X = torch.randn(400, FEATURES, generator=torch.Generator().manual_seed(0))
MIXED = torch.randperm(400, generator=torch.Generator().manual_seed(1))


class Items(Dataset):
    """Whatever a function makes of an index."""

    def __init__(self, make, count=400):
        self.make, self.count = make, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.make(index)


LABELS = {
    "class numbers": lambda i: (X[i], Y[i]),
    "float 0 and 1 of shape [N, 1]": lambda i: (X[i], (Y[i] > 1).float()[None]),
    "one-hot": lambda i: (X[i], F.one_hot(Y[i], 4).float()),
    "label smoothing by hand": lambda i: (X[i], 0.9 * F.one_hot(Y[i], 4).float() + 0.025),
    "continuous": lambda i: (X[i], torch.tensor(0.37 * float(i))),
    "continuous, two of them": lambda i: (X[i], torch.tensor([0.37 * float(i), 1.0])),
    "python numbers": lambda i: (X[i], int(Y[i])),
    "bool": lambda i: (X[i], Y[i] > 1),
    "half precision": lambda i: (X[i], Y[i].to(torch.bfloat16)),
    "dict with the key cls": lambda i: {"img": X[i], "cls": Y[i]},
    "dict with a telling key": lambda i: {"input_ids": X[i], "attention_mask": X[i] > 0, "class_id": Y[i]},
    "dict with an unknown key": lambda i: {"img": X[i], "what": Y[i]},
    "nested": lambda i: (X[i], {"label": Y[i], "boxes": X[i]}),
    "float weight last": lambda i: (X[i], Y[i], torch.rand((), generator=torch.Generator().manual_seed(int(i)))),
    "constant weight last": lambda i: (X[i], Y[i], 1.0),
}


def seen(make, order=range(400), size=16, passes=1, **trace):
    """The finding on passes over items in this order, without any trial."""
    loader = DataLoader(Subset(Items(make), list(order)), batch_size=size)
    epochs = []
    for number in range(passes):
        epoch = shuffling.Epoch("train", number, 0)
        for batch in loader:
            epoch.add(batch)
        epoch.complete = True
        epochs.append(epoch)
    return judged(epochs, loader, **trace)


def judged(epochs, loader, target=None):
    call = [SimpleNamespace(call=target[0], facts=target[1])] if target else []
    run = SimpleNamespace(epochs=lambda role: epochs, trace=call, steps=0)
    training = SimpleNamespace(train_loader=loader, optimizers=[])
    subject = SimpleNamespace(training=training, run=run, seconds=0, once=lambda _key, make: make())
    return shuffling.look(subject)


def classes(count, batch=16):
    return "cross_entropy", {"prediction_shape": [batch, count], "target_shape": [batch], "target_dtype": "torch.int64"}


def numbers(*shape):
    return "mse_loss", {"prediction_shape": [16, *shape], "target_shape": [16, *shape], "target_dtype": "torch.float32"}


@pytest.mark.parametrize("kind", LABELS)
def test_sorted_labels_are_seen_whatever_they_look_like(kind):
    finding = seen(LABELS[kind])
    assert finding.severity == "warning", finding.message
    assert "sorted or grouped" in finding.message


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("passes", [1, 2])
def test_mixed_labels_pass_whatever_they_look_like(kind, passes):
    finding = seen(LABELS[kind], MIXED.tolist(), passes=passes)
    assert finding.severity == ("ok" if passes == 1 else "info"), finding.message
    assert "mixed" in finding.message or "no more than by chance" in finding.message


LENGTHS = 5 + torch.arange(400) // 10
GROUPS = torch.arange(400) // 50

AMBIGUOUS = {
    "sorted lengths after mixed labels": (lambda i: (X[i], Y[MIXED[i]], LENGTHS[i]), classes(4), "ok"),
    "the same, loss not seen": (lambda i: (X[i], Y[MIXED[i]], LENGTHS[i]), None, "ok"),
    "sorted lengths before mixed labels": (lambda i: (X[i], LENGTHS[i], Y[MIXED[i]]), classes(4), "ok"),
    "sorted lengths, mixed numbers": (lambda i: (X[i], X[MIXED[i], :1], LENGTHS[i].float()), numbers(1), "undecided"),
    "sorted labels, mixed lengths": (lambda i: (X[i], Y[i], LENGTHS[MIXED[i]]), classes(4), "sorted"),
    "sorted labels before mixed groups": (lambda i: (X[i], Y[i], GROUPS[MIXED[i]]), classes(4), "sorted"),
    "the same, loss not seen ": (lambda i: (X[i], Y[i], GROUPS[MIXED[i]]), None, "undecided"),
    "mixed labels, sorted groups": (lambda i: (X[i], Y[MIXED[i]], GROUPS[i]), classes(4), "ok"),
    "item numbers last": (lambda i: (X[i], Y[MIXED[i]], i), classes(4), "ok"),
    "dict with labels and lengths": (lambda i: {"x": X[i], "length": LENGTHS[i], "what": Y[MIXED[i]]}, None, "ok"),
    "dict with target lengths": (lambda i: {"x": X[i], "target": Y[MIXED[i]], "target_len": LENGTHS[i]}, None, "ok"),
    "two inputs": (lambda i: (X[i], X[i] + 0.01 * i, Y[MIXED[i]].float()[None]), numbers(1), "ok"),
    "sequence targets": (lambda i: (X[i], Y[MIXED[i : i + 7]] if i < 390 else Y[:7]), None, "ok"),
}


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_what_else_is_in_a_batch_is_not_taken_for_labels(kind):
    make, target, expected = AMBIGUOUS[kind]
    finding = seen(make, target=target)
    if expected == "sorted":
        assert finding.severity == "warning", finding.message
    elif expected == "undecided":
        assert finding.severity == "info"
        assert "which part" in finding.message.lower()
    else:
        assert finding.severity == "ok", finding.message


UNREADABLE = {
    "nothing but inputs": lambda i: X[i],
    "a dict without labels": lambda i: {"input": X[i]},
    "texts": lambda i: (X[i], "cat" if i < 200 else "dog"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_labels_that_cannot_be_read_are_said_to_be_unknown(kind):
    finding = seen(UNREADABLE[kind], passes=2)
    assert finding.severity == "info"
    assert "labels could not be read, so it is not known whether the order matters" in finding.message
    with pytest.raises(nni.InspectorError, match="Nothing can be said yet: its labels could not be read"):
        seen(UNREADABLE[kind])


def test_too_few_labels_are_not_called_mixed():
    finding = seen(LABELS["class numbers"], range(0, 400, 40), size=2, passes=2)
    assert finding.severity == "info"
    assert "Only 10 labels were read" in finding.message


def test_batches_that_no_one_can_read_are_not_said_to_be_the_same():
    class Opaque:
        pass

    epochs = [shuffling.Epoch("train", number, 0, batches=4, complete=True, read=4) for number in range(2)]
    for epoch in epochs:
        epoch.add(Opaque())
    with pytest.raises(nni.InspectorError, match="labels could not be read"):
        judged(epochs, [Opaque()] * 4)


@pytest.mark.parametrize("kind", ["class numbers", "continuous", "nothing but inputs"])
def test_augmented_items_in_the_same_order_are_not_called_shuffled(kind):
    generator = torch.Generator().manual_seed(0)

    def augmented(index):
        item = {**LABELS, **UNREADABLE}[kind](int(MIXED[index]))
        noise = torch.randn(FEATURES, generator=generator)
        return (item[0] + noise, item[1]) if isinstance(item, tuple) else item + noise

    if kind == "nothing but inputs":
        with pytest.raises(nni.InspectorError, match="labels could not be read"):
            seen(augmented, passes=2)
    else:
        loader = DataLoader(Items(augmented), batch_size=16)
        epochs = [shuffling.Epoch("train", number, 0, complete=True) for number in range(2)]
        for epoch in epochs:
            for batch in loader:
                epoch.add(batch)
        assert judged(epochs, loader).evidence["same_order"] == 1


# One label only


def one_label(data, steps, *, size=16, loss_fn=None, seconds=0, **watching):
    case = classifier(lr=0.5)
    case.train_loader = DataLoader(data, batch_size=size)
    inspector = nni.watch(case.model, case.optimizer, loss_fn, train_loader=case.train_loader, **watching)
    with inspector:
        for step, (x, y) in enumerate(case.train_loader):
            if step == steps:
                break
            case.optimizer.zero_grad()
            F.cross_entropy(case.model(x), y.long().reshape(-1)).backward()
            case.optimizer.step()
        return inspector.check("shuffling", seconds=seconds)


@pytest.mark.parametrize("size", [1, 16])
def test_one_class_in_many_steps_of_sorted_data_is_an_error(size):
    finding = one_label(sorted_by_label(blobs(4000)), 50, size=size)
    assert finding.severity == "error"
    assert "sorted by label. Only the label 0 was seen" in finding.message
    assert finding.evidence["share_of_others"] > 0.7


def test_one_class_and_a_trial_that_helps():
    finding = one_label(sorted_by_label(blobs(4000, spread=2.5)), 50, loss_fn=nn.CrossEntropyLoss(), seconds=300)
    assert finding.severity == "error"
    assert finding.remedy.tried.helped


def test_one_class_and_a_data_set_that_keeps_its_labels_to_itself():
    data = sorted_by_label(blobs(4000))
    hidden = Items(lambda i: data[i], 4000)
    finding = one_label(hidden, 50)
    assert finding.severity == "warning"
    assert "If the data set has others" in finding.message
    sampled = one_label(hidden, 50, seconds=300)
    assert sampled.severity == "error"


class WithTargets(Items):
    def __init__(self, data, transform=None):
        super().__init__(lambda i: data[i], len(data))
        self.targets = data.tensors[1].tolist()
        self.target_transform = transform


@pytest.mark.parametrize(
    ("data", "severity"),
    [
        (WithTargets(sorted_by_label(blobs(4000))), "error"),
        (Subset(WithTargets(sorted_by_label(blobs(4000))), range(500)), "info"),
        (WithTargets(sorted_by_label(blobs(4000)), lambda label: label), "warning"),
        (TensorDataset(X, torch.zeros(400, dtype=torch.int64)), "info"),
        (TensorDataset(torch.randn(4000, FEATURES), (torch.arange(4000) > 3996).long()), "info"),
    ],
    ids=["targets", "a subset of one class", "targets that are changed", "there is no other", "others are very rare"],
)
def test_one_class_is_judged_by_what_the_data_set_shows(data, severity):
    assert one_label(data, 20).severity == severity


def test_a_data_set_of_one_class_has_no_order():
    finding = one_label(TensorDataset(X, torch.zeros(400, dtype=torch.int64)), None)
    assert finding.severity == "info"
    assert "no other one was found" in finding.message


def test_a_later_pass_shows_the_other_classes(watched):
    data = sorted_by_label(blobs(4000))

    class Stream(IterableDataset):
        passes = 0

        def __iter__(self):
            self.passes += 1
            return iter([data[i] for i in range(1000 if self.passes == 1 else 4000)])

    loader = DataLoader(Stream(), batch_size=16)
    epochs = []
    for number, batches in enumerate((50, 64)):
        epoch = shuffling.Epoch("train", number, 0)
        for index, batch in enumerate(loader):
            if number == 0 and index == batches:
                break
            epoch.add(batch)
        epochs.append(epoch)
    assert judged(epochs[:1], loader).severity == "warning"
    assert judged(epochs, loader).raised


# Samplers


class Balanced:
    """Two classes in equal parts in every batch, one after the other, drawn anew every time."""

    batch_size = 16

    def __init__(self, labels, per_class=8):
        self.places = [torch.nonzero(labels == label)[:, 0] for label in labels.unique()]
        self.per_class, self.count = per_class, len(labels) // (per_class * len(self.places))

    def __iter__(self):
        for _ in range(self.count):
            yield [int(i) for places in self.places for i in places[torch.randint(len(places), (self.per_class,))]]

    def __len__(self):
        return self.count


class GroupedByDesign(Balanced):
    """P of the classes, K items of each."""

    def __iter__(self):
        for _ in range(self.count):
            chosen = torch.randperm(len(self.places))[:8].tolist()
            yield [int(i) for label in chosen for i in self.places[label][torch.randint(len(self.places[label]), (4,))]]


class Bucketed:
    """Items of about the same length come together; the buckets come in random order."""

    def __init__(self, lengths, size=16):
        self.chunks = lengths.argsort().split(size)

    def __iter__(self):
        return iter([self.chunks[i].tolist() for i in torch.randperm(len(self.chunks)).tolist()])

    def __len__(self):
        return len(self.chunks)


def loader_of(kind):
    random = torch.Generator().manual_seed(0)
    binary = (torch.rand(400, generator=random) > 0.5).long()
    many = torch.arange(3200) // 32
    lengths = torch.randint(5, 40, (400,), generator=random)
    noisy = torch.where(torch.rand(400, generator=random) < 0.4, torch.randint(0, 4, (400,), generator=random), Y)
    data = TensorDataset(X, binary)
    return {
        "balanced batches": DataLoader(data, batch_sampler=Balanced(binary)),
        "weighted sampler": DataLoader(
            sorted_by_label(blobs(400)), 16, sampler=WeightedRandomSampler([1.0] * 400, 400)
        ),
        "grouped by design": DataLoader(
            TensorDataset(torch.randn(3200, FEATURES), many), batch_sampler=GroupedByDesign(many, 4)
        ),
        "buckets of lengths": DataLoader(TensorDataset(X, binary, lengths), batch_sampler=Bucketed(lengths)),
        "imbalanced": DataLoader(TensorDataset(X, (torch.arange(400) < 8).long()), 16, shuffle=True),
        "noisy labels": DataLoader(TensorDataset(X, noisy), 16, shuffle=True),
        "tiny": DataLoader(TensorDataset(X[:12], Y[:400:34]), 2, shuffle=True),
        "one item a batch": DataLoader(TensorDataset(X, Y), 1, shuffle=True),
        "batches of batches": DataLoader(
            data, sampler=BatchSampler(RandomSampler(data), 16, drop_last=False), batch_size=None
        ),
        "regression": DataLoader(TensorDataset(X, X[:, :2] * 3), 16, shuffle=True),
    }[kind]


SAMPLERS = (
    "balanced batches",
    "weighted sampler",
    "grouped by design",
    "buckets of lengths",
    "imbalanced",
    "noisy labels",
    "tiny",
    "one item a batch",
    "batches of batches",
    "regression",
)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_sound_samplers_pass(watched, kind):
    torch.manual_seed(0)
    case = classifier()
    case.model = mlp()
    case.model[2] = nn.Linear(16, 100)
    case.optimizer = torch.optim.SGD(case.model.parameters(), lr=0.1)
    case.train_loader = loader_of(kind)

    def step(model, batch):
        if batch[1].is_floating_point():
            return F.mse_loss(model(batch[0])[:, :2], batch[1])
        return F.cross_entropy(model(batch[0]), batch[1])

    def loop(c):
        for _ in range(2):
            for batch in c.train_loader:
                c.optimizer.zero_grad()
                step(c.model, batch).backward()
                c.optimizer.step()

    finding = watched(case, loop, step=step).check("shuffling")
    assert finding.severity == "ok", finding.message


def test_one_class_in_each_batch_by_design_is_no_error(watched):
    class OneClass(Balanced):
        def __iter__(self):
            for _ in range(self.count):
                places = self.places[int(torch.randint(len(self.places), ()))]
                yield places[torch.randint(len(places), (16,))].tolist()

    torch.manual_seed(0)
    case = classifier(lr=0.5)
    case.train_loader = DataLoader(HARD, batch_sampler=OneClass(HARD.tensors[1], 4))
    finding = watched(case, lambda c: c.run(2)).check("shuffling")
    assert finding.severity in ("warning", "info")
    assert "of the batches hold one class only" in finding.message


def test_items_with_one_item_a_batch_in_order_are_found(watched):
    case = classifier(data=HARD, shuffle=False, lr=0.1)
    case.train_loader = DataLoader(HARD, batch_size=1)
    finding = watched(case, lambda c: c.run(1)).check("shuffling")
    assert finding.severity == "error"


# What it asks for, and what it leaves alone


def test_a_list_of_batches_is_read_directly(watched):
    case = classifier(lr=0.5)
    case.train_loader = [HARD[start : start + 16] for start in range(0, 600, 16)]
    finding = watched(case, lambda c: c.run(1)).check("shuffling")
    assert finding.severity == "error"
    assert "random.shuffle(train_loader)" in finding.remedy.code


class SortedStream(IterableDataset):
    def __iter__(self):
        return iter([HARD[i] for i in range(600)])


@pytest.mark.parametrize("kind", ["batch sampler", "stream", "collate function"])
def test_the_code_of_the_remedy_runs_and_shuffles(watched, kind):
    case = classifier(lr=0.5)
    case.train_loader = {
        "batch sampler": lambda: DataLoader(HARD, batch_sampler=BatchSampler(range(600), 16, drop_last=False)),
        "stream": lambda: DataLoader(SortedStream(), batch_size=16),
        "collate function": lambda: DataLoader(
            HARD, batch_size=16, collate_fn=lambda items: [torch.stack(part) for part in zip(*items, strict=True)]
        ),
    }[kind]()
    finding = watched(case, lambda c: c.run(1)).check("shuffling")
    assert finding.severity == "error"
    namespace = {"torch": torch, "train_loader": case.train_loader}
    exec(finding.remedy.code, namespace)
    case.train_loader = namespace["train_loader"]
    assert case.train_loader.batch_size == 16
    assert watched(case, lambda c: c.run(2)).check("shuffling").severity == "ok"


@pytest.mark.parametrize(
    ("loader", "reason"),
    [
        (None, "no train_loader"),
        (DataLoader(blobs(), batch_size=16), "No pass over the train_loader was seen yet"),
        (iter([blobs()[:16]]), "without using it up"),
    ],
    ids=["none", "not read yet", "iterator"],
)
def test_where_it_cannot_look_it_says_why(watched, loader, reason):
    case = classifier()
    case.train_loader = loader
    finding = watched(case).check("shuffling")
    assert finding.severity == "skipped"
    assert reason in finding.message


def test_a_pass_that_was_broken_off_is_not_compared(watched):
    def loop(c):
        for _ in range(2):
            for index, (x, y) in enumerate(c.train_loader):
                c.loss_fn(c.model(x), y).backward()
                if index == 1:
                    break

    finding = watched(classifier(data=blobs(400), shuffle=False), loop).check("shuffling")
    assert finding.severity == "ok"
    assert "same_order" not in finding.evidence


def test_the_model_is_needed_only_for_the_trial(watched):
    case = classifier(data=sorted_by_label(blobs(600)), shuffle=False)
    case.loss_fn = None
    inspector = watched(case)
    list(case.train_loader)
    finding = inspector.check("shuffling")
    assert finding.severity == "warning"
    assert finding.remedy.tried is None


def test_sorted_targets_of_a_regression_are_an_error_when_shuffling_helps(watched):
    x = torch.linspace(-1, 1, 600)[:, None].repeat(1, FEATURES)
    data = TensorDataset(x, x[:, :1] ** 3)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 16), nn.Tanh(), nn.Linear(16, 1))
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.2), nn.MSELoss(), DataLoader(data, batch_size=16))
    finding = watched(case, lambda c: c.run(2)).check("shuffling")
    assert finding.severity in ("error", "warning")
    assert "labels' variation lies between" in finding.message
