"""Passes over a loader that are left early, so that some batches are never seen."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import nn_inspector as nni
from tests.trainings import FEATURES, Case, classifier


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
