import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset, WeightedRandomSampler

import nn_inspector as nni
from tests.trainings import CLASSES, Case, assert_equal, blobs, classifier, mlp, sorted_by_label, state_of


def sorted_case(lr=1.0):
    data = sorted_by_label(blobs(400, spread=2.0))
    model = mlp()
    loader = DataLoader(data, batch_size=16)
    return Case(model, torch.optim.SGD(model.parameters(), lr=lr), nn.CrossEntropyLoss(), loader)


class ClassByClass(Sampler):
    """Batches of one class each, in random order: made for it."""

    def __init__(self, labels):
        self.labels = labels

    def __len__(self):
        return CLASSES * 3

    def __iter__(self):
        for kind in torch.randperm(CLASSES).repeat(3).tolist():
            items = (self.labels == kind).nonzero().flatten()
            yield items[torch.randperm(len(items))[:12]].tolist()


def class_by_class():
    data, model = blobs(200), mlp()
    loader = DataLoader(data, batch_sampler=ClassByClass(data.tensors[1]))
    return Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), loader)


def rare(size):
    labels = (torch.arange(320) % 32 == 0).long()
    data = TensorDataset(blobs(320).tensors[0] + labels[:, None], labels)
    model = mlp()
    loader = DataLoader(data, batch_size=size, shuffle=True)
    return Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), loader)


def checked(inspector, made):
    before = state_of(made)
    finding = inspector.check("batch_balance")
    assert_equal(before, state_of(made))
    return finding


def test_batches_of_one_class_are_an_error_where_mixed_ones_do_better(watched):
    made = sorted_case()
    finding = checked(watched(made, lambda c: c.run(2)), made)
    assert finding.severity == "error", finding.message
    assert "of the batches hold one class only" in finding.message
    assert "drawn at random from 4 classes, 0% would" in finding.message
    assert "shuffle=True" in finding.remedy.code
    assert finding.remedy.tried.helped


@pytest.mark.parametrize(
    ("make", "severity", "says"),
    [
        (classifier, "ok", "0% of the batches hold one class only"),
        (class_by_class, "info", "as your sampler puts them together"),
        (lambda: sorted_case(lr=1e-5), "warning", "one class only"),
        (lambda: rare(4), "ok", "The rarest class (3.0% of the items) is in 12% of the batches only"),
        (lambda: rare(2), "ok", "Yes: "),
        (lambda: classifier(data=blobs(32)), "skipped", "Only 2 batches"),
        (
            lambda: classifier(data=TensorDataset(blobs().tensors[0], torch.ones(96).long())),
            "skipped",
            "only one was seen",
        ),
    ],
)
def test_batches_that_are_fair_or_meant_pass(watched, make, severity, says):
    torch.manual_seed(0)
    made = make()
    finding = checked(watched(made, lambda c: c.run(2)), made)
    assert finding.severity == severity, finding.message
    assert says in finding.message


def test_numbers_have_no_classes(watched):
    model = nn.Linear(3, 1)
    loader = DataLoader(TensorDataset(torch.randn(96, 3), torch.randn(96, 1)), batch_size=16)
    made = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.MSELoss(), loader)
    finding = checked(watched(made, lambda c: c.run(1)), made)
    assert finding.severity == "skipped"
    assert "about classes" in finding.message


def test_a_list_of_batches_is_read_as_it_is(watched):
    data = sorted_by_label(blobs(400, spread=2.0))
    batches = list(zip(*(tensor.split(16) for tensor in data.tensors), strict=True))
    model = mlp()
    made = Case(model, torch.optim.SGD(model.parameters(), lr=1.0), nn.CrossEntropyLoss(), batches)
    assert checked(watched(made, lambda c: c.run(2)), made).severity == "error"


class Served(Dataset):
    """Items that have to be asked for one by one, as mappings."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data)

    def __getitem__(self, place):
        x, y = self.data[place]
        return {"x": x, "label": y}


def uneven(weigh, shares=(0.94, 0.06), *, items=1200, served=False):
    """Classes of these shares, drawn with the weights that `weigh` makes of their counts."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.multinomial(torch.tensor(shares), items, replacement=True, generator=generator)
    centres = 2 * torch.randn(len(shares), 8, generator=generator)
    data = TensorDataset(centres[labels] + torch.randn(items, 8, generator=generator), labels)
    weights = weigh(labels.bincount().double())[labels]
    sampler = WeightedRandomSampler(weights, items, generator=generator)
    loader = DataLoader(Served(data) if served else data, batch_size=32, sampler=sampler)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, len(shares)))
    return Case(model, torch.optim.Adam(model.parameters(), lr=0.003), nn.CrossEntropyLoss(), loader)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_weights_that_are_not_turned_over(watched, power):
    made = uneven(lambda counts: counts**power, (0.97, 0.03))
    inspector = watched(made, lambda c: c.run(4))
    finding = checked(inspector, made)
    assert finding.severity == "error", finding.message
    assert "draws rare classes still more rarely: class 1" in finding.message
    assert finding.evidence["drawn"] < finding.evidence["data_set"] / 2
    assert "1.0 / counts" in finding.remedy.code
    assert finding.remedy.tried.helped
    assert finding.basis == "experiment"
    assert inspector.check("shuffling").severity in ("ok", "info")  # they do not come sorted


def test_of_many_classes_the_worst_is_named(watched):
    made = uneven(lambda counts: counts, (0.5, 0.38, 0.07, 0.05), items=2400)
    finding = checked(watched(made, lambda c: c.run(2)), made)
    assert finding.severity in ("warning", "error"), finding.message
    assert finding.evidence["class"] == 3
    assert "and 1 more come too rarely" in finding.message


@pytest.mark.parametrize(
    ("weigh", "shares"),
    [
        (lambda counts: 1 / counts, (0.94, 0.06)),
        (lambda counts: 1 / counts.sqrt(), (0.94, 0.06)),
        (torch.ones_like, (0.94, 0.06)),
        (lambda counts: counts, (0.6, 0.4)),  # none is rare
        (lambda counts: torch.tensor([1.0, 0.2]), (0.5, 0.5)),  # as often as where it is used
        (
            lambda counts: torch.where(counts < 60, 0.0, 1 / counts),
            (0.7, 0.2, 0.06, 0.04),
        ),  # one left out, the others alike
    ],
)
def test_samplers_that_even_out_or_take_nothing_away_pass(watched, weigh, shares):
    made = uneven(weigh, shares)
    finding = checked(watched(made, lambda c: c.run(2)), made)
    assert finding.severity == "ok", finding.message


def test_a_rare_class_that_is_found_anyway_is_a_remark(watched):
    made = uneven(lambda counts: counts, (0.88, 0.12), items=2400)
    inspector = watched(made, lambda c: c.run(20))
    finding = checked(inspector, made)
    assert finding.severity == "info", finding.message
    assert "Is it meant?" in finding.message


@pytest.mark.parametrize("seconds", [0, 300])
def test_items_that_have_to_be_asked_for(watched, seconds):
    made = uneven(lambda counts: counts, served=True)

    def loop(case):
        for batch in case.train_loader:
            case.optimizer.zero_grad()
            case.loss_fn(case.model(batch["x"]), batch["label"]).backward()
            case.optimizer.step()

    finding = watched(made, loop).check("batch_balance", seconds=seconds)
    assert finding.severity == ("ok" if seconds == 0 else "error"), finding.message


@pytest.mark.parametrize("length", [0, 1200])
def test_a_sampler_that_wants_indices_of_its_own_is_not_judged(watched, length):
    class Pairs(Dataset):
        def __init__(self, data):
            self.data = data

        def __len__(self):
            return length

        def __getitem__(self, place):
            first, second = place
            return self.data[first + second]

    made = uneven(lambda counts: counts)
    data = made.train_loader.dataset
    order = [[(i // 2, i - i // 2) for i in range(start, start + 16)] for start in range(0, 960, 16)]
    made.train_loader = DataLoader(Pairs(data), batch_sampler=order)
    finding = checked(watched(made, lambda c: c.run(1)), made)
    assert finding.severity == "ok", finding.message


@pytest.mark.parametrize(("weights", "severity"), [([1.0, 2.0, 3.0], "error"), ([1.0] * 96, "ok")])
def test_a_sampler_needs_a_weight_for_each_item(watched, weights, severity):
    """One for each class is too few: they are taken for those of the first items."""
    data, model = blobs(96), mlp()
    loader = DataLoader(data, 16, sampler=WeightedRandomSampler(weights, 96))
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), loader)
    finding = watched(case, lambda c: c.run(3)).check("batch_balance")
    assert finding.severity == severity, finding.message
    if severity == "error":
        assert "has 3 weights for 96 items" in finding.message
        names = {"torch": torch, "train_labels": data.tensors[1]}
        exec(finding.remedy.code, names)
        assert len(names["sampler"].weights) == 96


def test_a_sampler_that_leaves_out_what_is_validated_is_a_split():
    data, model = blobs(100), mlp()
    loader = DataLoader(data, 16, sampler=WeightedRandomSampler([1.0] * 80, 80))
    val_loader = DataLoader(data, 20, sampler=range(80, 100))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(
        model, optimizer, nn.CrossEntropyLoss(), train_loader=loader, val_loader=val_loader, show=False
    ) as inspector:
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        assert not inspector.check("batch_balance").raised
