import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import Case

WIDTH = 12


def encoder(dropout=0.0):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, 8))


def views():
    generator = torch.Generator().manual_seed(0)
    items = torch.randn(256, WIDTH, generator=generator)
    return TensorDataset(items + 0.3 * torch.randn(256, WIDTH, generator=generator), items)


def unmasked(first, second):
    rows = F.normalize(torch.cat([first, second]), dim=1)
    return F.cross_entropy(rows @ rows.T / 0.2, torch.arange(len(rows)))


def unmasked_by_parts(first, second):
    rows = torch.cat([first, second])
    return F.nll_loss(F.log_softmax(rows @ rows.T, 1), torch.arange(len(rows)))


def masked(first, second):
    rows = F.normalize(torch.cat([first, second]), dim=1)
    alike = (rows @ rows.T / 0.2).fill_diagonal_(-torch.inf)
    items = torch.arange(len(first))
    return F.cross_entropy(alike, torch.cat([items + len(items), items]))


def two_lists(first, second):
    return F.cross_entropy(F.normalize(first, dim=1) @ F.normalize(second, dim=1).T / 0.2, torch.arange(len(first)))


def checked(watched, loss, model, *, same=False):
    loader = DataLoader(views(), batch_size=32, shuffle=True, drop_last=True)
    case = Case(model, torch.optim.Adam(model.parameters(), lr=1e-3), None, loader)

    def run(case):
        for first, second in case.train_loader:
            case.optimizer.zero_grad()
            loss(case.model(first), case.model(first if same else second)).backward()
            case.optimizer.step()

    return watched(case, run).check("loss_learnable")


@pytest.mark.parametrize("loss", [unmasked, unmasked_by_parts])
def test_items_that_are_found_in_a_list_with_themselves_are_an_error(watched, loss):
    finding = checked(watched, loss, encoder())
    assert finding.severity == "error", finding.message
    assert "each of 64 items is compared with all of them, itself included" in finding.message
    assert finding.basis == "structure"
    first, second = torch.randn(5, 8), torch.randn(5, 8)
    names = {"torch": torch, "first": first, "second": second, "temperature": 0.2, "n": 5}
    exec(finding.remedy.code, names)
    assert torch.isfinite(names["loss"])
    assert torch.allclose(F.cross_entropy(names["alike"], names["target"]), names["loss"])


def spread_out(first, second):
    """Views are pulled together, and all items pushed apart: a term for each."""
    first, second = F.normalize(first, dim=1), F.normalize(second, dim=1)
    return (first - second).square().sum(1).mean() + 0.5 * F.cross_entropy(
        first @ first.T / 0.2, torch.arange(len(first))
    )


@pytest.mark.parametrize("loss", [masked, two_lists, spread_out])
def test_other_views_of_the_items_pass(watched, loss):
    assert not checked(watched, loss, encoder()).raised


def test_two_passes_with_dropout_are_two_views(watched):
    """As SimCSE has it: in evaluation mode the table would be symmetric."""
    assert not checked(watched, two_lists, encoder(dropout=0.2), same=True).raised


def test_the_same_view_twice_is_an_item_and_itself(watched):
    assert checked(watched, two_lists, encoder(), same=True).severity == "error"
