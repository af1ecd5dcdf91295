"""What the network says of the items of the first batch, asked on copies while it is trained."""

import copy
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.experiments import fixed_batch
from nn_inspector.experiments.fixed_batch import MOST_ITEMS
from nn_inspector.probes import FIXED_FIELDS
from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, classifier, mlp, state_of


def watched(case, *, epochs=2, loop=None, every=1, **options):
    given = {"train_loader": case.train_loader, "probes": ["fixed_batch"], "every": every, **options}
    with nni.watch(case.model, case.optimizer, case.loss_fn, **given) as inspector:
        (loop or (lambda one: one.run(epochs)))(case)
    return inspector


def looks(inspector):
    """Steps, and of each field [looks, items]."""
    series = inspector.run.series("fixed_batch", "train")
    table = series.values.reshape(len(series), len(FIXED_FIELDS), -1)
    return series.steps, dict(zip(FIXED_FIELDS, np.moveaxis(table, 1, 0), strict=True))


def training(model, loss_fn, inputs, targets, rate=0.05, size=8):
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=size)
    return Case(model, torch.optim.SGD(model.parameters(), lr=rate), loss_fn, loader)


def test_the_first_look_is_that_of_the_weights_before_the_first_step_and_the_last_that_of_now():
    case = classifier(shuffle=False)
    case.model.insert(2, nn.Dropout(0.5))
    inputs, targets = next(iter(case.train_loader))
    before = copy.deepcopy(case.model).eval()
    steps, found = looks(watched(case, every=5))
    assert steps.tolist() == [0, 5, 10]
    rows = torch.arange(len(targets))
    first = before(inputs).softmax(1)
    assert found["probability"][0] == pytest.approx(first[rows, targets].detach().numpy(), rel=1e-5)
    assert found["prediction"][0].tolist() == first.argmax(1).tolist()
    assert found["target"][-1].tolist() == targets.tolist()
    assert found["probability"][-1].mean() > found["probability"][0].mean()


class Busy(nn.Module):
    """Batch normalization, dropout, a counter, a list and a buffer that each call changes."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, CLASSES))
        self.register_buffer("seen", torch.zeros(()))
        self.calls, self.sizes = 0, []

    def forward(self, x):
        self.calls += 1
        self.sizes.append(len(x))
        self.seen += len(x)
        return self.layers(x) + 0.01 * torch.randn(())


def test_the_model_is_as_it_would_be_without_a_look():
    results = []
    for is_watched in (False, True):
        torch.manual_seed(0)
        model = Busy()
        case = Case(
            model,
            torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
            nn.CrossEntropyLoss(),
            DataLoader(blobs(), batch_size=16, shuffle=True),
        )
        if is_watched:
            inspector = watched(case)
            assert len(looks(inspector)[0]) == inspector.run.steps == 12
            assert inspector.problems == []
        else:
            case.run(2)
        assert model.training
        results.append((state_of(case), model.calls, model.sizes))
    assert_equal(results[0][0], results[1][0])
    assert results[0][1:] == results[1][1:]


def test_numbers_are_followed_in_the_output_whose_targets_differ_most():
    torch.manual_seed(0)
    inputs = torch.randn(32, 3)
    targets = torch.stack([torch.zeros(32), 5 * inputs[:, 0]], 1)
    _, found = looks(watched(training(nn.Linear(3, 2), nn.MSELoss(), inputs, targets), epochs=20))
    assert found["target"][0] == pytest.approx(targets[:8, 1].numpy())
    assert found["prediction"][-1] == pytest.approx(targets[:8, 1].numpy(), abs=0.3)
    assert np.isnan(found["probability"]).all()


@pytest.mark.parametrize("loss_fn", [nn.BCEWithLogitsLoss(), nn.BCELoss()])
def test_yes_or_no_is_the_probability_of_what_is_true(loss_fn):
    torch.manual_seed(0)
    inputs = torch.randn(32, 3)
    end = nn.Identity() if isinstance(loss_fn, nn.BCEWithLogitsLoss) else nn.Sigmoid()
    model = nn.Sequential(nn.Linear(3, 1), end)
    case = training(model, loss_fn, inputs, (inputs[:, :1] > 0).float(), rate=1.0)
    _, found = looks(watched(case, epochs=30))
    assert (found["prediction"][-1] == found["target"][-1]).all()
    assert (found["probability"][-1] > 0.5).all()


def test_of_several_questions_about_an_item_the_mean_probability_is_followed():
    torch.manual_seed(0)
    inputs = torch.rand(16, 6)
    model = nn.Sequential(nn.Linear(6, 6), nn.Sigmoid())
    _, found = looks(watched(training(model, nn.BCELoss(), inputs, (inputs > 0.5).float())))
    assert np.isnan(found["target"]).all()
    assert found["probability"].shape[1] == 8
    assert ((found["probability"] > 0) & (found["probability"] < 1)).all()


def test_parts_of_items_are_followed_and_those_that_the_loss_ignores_are_not():
    torch.manual_seed(0)
    words = torch.randint(0, 5, (16, 6))
    targets = words.roll(1, 1)
    targets[:, ::2] = -100

    class Language(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(5, 8), nn.Linear(8, 5)

        def forward(self, x):
            return self.head(self.embed(x)).flatten(0, 1)

    def loop(case):
        for x, y in case.train_loader:
            case.optimizer.zero_grad()
            F.cross_entropy(case.model(x), y.flatten()).backward()
            case.optimizer.step()

    case = training(Language(), None, words, targets, size=4)
    case.train_loader = DataLoader(case.train_loader.dataset, batch_size=4)
    inspector = watched(case, loop=lambda one: [loop(one) for _ in range(3)])
    _, found = looks(inspector)
    assert (found["target"] >= 0).all()
    assert 0 < found["target"].shape[1] <= MOST_ITEMS


def test_a_list_of_batches_has_a_first_one_as_well():
    case = classifier()
    case.train_loader = list(case.train_loader)
    steps, found = looks(watched(case))
    assert len(steps) == 12
    assert found["target"][0].tolist() == case.train_loader[0][1].tolist()


@pytest.mark.parametrize("loader", [None, map(tuple, [])], ids=["no loader", "an iterable of the user's"])
def test_without_a_batch_nothing_is_asked_and_nothing_is_said(loader):
    case = classifier()
    inspector = watched(case, train_loader=loader)
    assert inspector.run.sources("fixed_batch") == []
    assert inspector.problems == []


def hand_written(case):
    for _ in range(5):
        for x, y in case.train_loader:
            case.optimizer.zero_grad()
            (-case.model(x).log_softmax(1)[torch.arange(len(y)), y].mean()).backward()
            case.optimizer.step()


def unknown_loss(case):
    case.loss_fn = None


def large(case):
    case.model.register_parameter("rest", nn.Parameter(torch.zeros(17 << 20)))


def compiled(case):
    case.model[0]._compiled_call_impl = case.model[0]._call_impl


def sparse(case):
    case.train_loader = [(x.to_sparse(), y) for x, y in case.train_loader]
    case.model.insert(0, Dense())


class Dense(nn.Module):
    def forward(self, x):
        return x.to_dense()


@pytest.mark.parametrize(
    ("change", "loop", "why"),
    [
        (unknown_loss, hand_written, "It is not seen what the loss holds the predictions against."),
        (large, None, "The model is too large to be copied while it is trained."),
        (compiled, None, "The model is compiled"),
        (sparse, None, "The items of a batch cannot be taken one by one"),
    ],
    ids=["a loss by hand", "a large model", "a compiled model", "sparse inputs"],
)
def test_where_it_cannot_be_asked_the_reason_is_said_once_and_the_training_goes_on(change, loop, why):
    case = classifier()
    change(case)
    inspector = watched(case, loop=loop)
    reasons = [str(entry.facts["reason"]) for entry in inspector.run.trace if entry.call == "fixed_batch"]
    assert len(reasons) == 1
    assert reasons[0].startswith(why)
    assert not any("fixed batch" in problem for problem in inspector.problems), "nothing is wrong with the training"
    assert inspector.run.sources("fixed_batch") == []
    assert inspector.run.steps >= 12


def test_looks_keep_to_their_share_of_the_budget_but_for_the_first(monkeypatch):
    clock = [0.0]

    def tick():
        clock[0] += 0.01
        return clock[0]

    monkeypatch.setattr(fixed_batch, "time", SimpleNamespace(perf_counter=tick))
    steps, _ = looks(watched(classifier(), epochs=20, every="auto", max_overhead=1.0))
    assert steps[:6].tolist() == [0, 1, 2, 4, 8, 16]
    assert all(later - earlier >= 5 for earlier, later in pairwise(steps[6:]))
    assert len(steps) > 7
    monkeypatch.setattr(fixed_batch, "_QUICK", 0.005)
    steps, _ = looks(watched(classifier(), epochs=10, every="auto", max_overhead=1e-4))
    assert steps.tolist() == [0]


def test_only_a_few_items_are_remembered_and_none_when_watching_ends():
    case = classifier()
    case.train_loader = DataLoader(blobs(), batch_size=96)
    with nni.watch(mlp(), None, case.loss_fn, train_loader=case.train_loader, probes=["fixed_batch"]) as inspector:
        batch = next(iter(case.train_loader))
        items = inspector._fixed._items
        assert [len(part) for part in items] == [MOST_ITEMS, MOST_ITEMS]
        batch[0].zero_()
        assert items[0].any(), "they are a copy"
    assert inspector._fixed._items is None
