import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.checks.model.factors import Factors, factors
from tests.trainings import Case, assert_equal, state_of

USERS, WORKS, RANK = 60, 40, 6
G = torch.Generator().manual_seed(0)
LIKES = torch.randn(USERS, RANK, generator=G) @ torch.randn(WORKS, RANK, generator=G).T / RANK**0.5
USER, WORK = torch.randint(0, USERS, (2000,), generator=G), torch.randint(0, WORKS, (2000,), generator=G)


class Product(nn.Module):
    def __init__(self, columns, how="mul"):
        super().__init__()
        torch.manual_seed(0)
        self.users, self.works = nn.Embedding(USERS, columns), nn.Embedding(WORKS, columns)
        self.bias, self.how = nn.Embedding(WORKS, 1), how
        for table in (self.users, self.works):
            nn.init.normal_(table.weight, std=0.3)
        nn.init.zeros_(self.bias.weight)

    def forward(self, user, work):
        u, w = self.users(user), self.works(work)
        fit = (u[:, None] @ w[..., None])[:, 0, 0] if self.how == "matmul" else (u * w).sum(-1)
        return fit + self.bias(work)[:, 0]


class Shared(Product):
    """What is multiplied goes into a layer as well, which needs its width."""

    def __init__(self, columns):
        super().__init__(columns)
        self.last = nn.Linear(columns, 1)

    def forward(self, user, work):
        return super().forward(user, work) + self.last(self.users(user)).squeeze(-1)


class OneCall(Product):
    def __init__(self, columns):
        super().__init__(columns)
        self.last = nn.Linear(columns, 1)

    def forward(self, user, work):
        u = self.users(user)
        return (u * self.works(work)).sum(-1) + self.last(u).squeeze(-1)


def case(model):
    data = TensorDataset(USER, WORK, LIKES[USER, WORK])
    return Case(model, torch.optim.Adam(model.parameters(), lr=0.02), nn.MSELoss(), DataLoader(data, 50, shuffle=True))


def epochs(count):
    def run(case):
        for _ in range(count):
            for user, work, likes in case.train_loader:
                case.optimizer.zero_grad()
                case.loss_fn(case.model(user, work), likes).backward()
                case.optimizer.step()

    return run


@pytest.mark.parametrize("how", ["mul", "matmul"])
def test_too_few_factors_are_an_error(watched, how):
    made = case(Product(1, how))
    inspector = watched(made, epochs(10))
    before = state_of(made)
    finding = inspector.check("capacity", seconds=120)
    assert_equal(before, state_of(made))
    assert finding.severity == "error", finding.message
    assert "(users, works) have only 1 column." in finding.message
    assert finding.remedy.tried.helped
    assert finding.basis == "experiment"


def test_enough_factors_pass(watched):
    finding = watched(case(Product(12)), epochs(10)).check("capacity", seconds=120)
    assert finding.severity == "ok", finding.message


@pytest.mark.parametrize("make", [Shared, OneCall])
def test_rows_that_are_used_elsewhere_as_well_are_left_alone(watched, make):
    finding = watched(case(make(2)), epochs(2)).check("capacity", seconds=120)
    assert "column" not in finding.message or finding.severity == "info"


def test_which_tables_are_multiplied(watched):
    inspector = watched(case(Product(3)), epochs(1))
    from nn_inspector.checks import Subject

    seen = Subject(inspector.training, inspector.run, 30.0).anatomy("initial", training=False)
    assert factors(seen) == Factors(("users", "works"), 3, USERS + WORKS)
