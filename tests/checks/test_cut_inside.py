import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.trainings import assert_equal


class First(nn.Module):
    """Reads a sequence whose first token is the class. What it passes on from step to step goes through `between`."""

    def __init__(self, between):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.cell, self.last = nn.Embedding(12, 8), nn.GRUCell(8, 24), nn.Linear(24, 4)
        self.between, self.seen = between, []

    def forward(self, tokens):
        state = torch.zeros(len(tokens), 24)
        for one in self.embedding(tokens).unbind(1):
            state = self.cell(one, self.between(state))
        self.seen = [state.detach()]
        return self.last(state)


def half_passed(state):
    return torch.cat([state[:, :12].detach(), state[:, 12:]], 1)


def finding_of(between, *, make=First, epochs=12, seconds=60.0, then=lambda optimizer: None):
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(4, 12, (360, 14), generator=generator)
    tokens[:, 0] = torch.randint(0, 4, (360,), generator=generator)
    loader = DataLoader(TensorDataset(tokens, tokens[:, 0].clone()), batch_size=20, shuffle=True)
    model = make(between)
    optimizer, loss_fn = torch.optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss()

    def train():
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                loss_fn(model(x), y).backward()
                optimizer.step()
                then(optimizer)

    with nni.watch(model, optimizer, loss_fn, train_loader=loader, loop=train, show=False) as inspector:
        train()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        found = inspector.check("gradient_flow", seconds=seconds)
        assert_equal(before, dict(model.state_dict()))
    return found


@pytest.mark.parametrize("cut", [torch.Tensor.detach, lambda state: state.data], ids=["detach", "data"])
def test_a_state_that_is_detached_at_each_step_is_an_error(cut):
    finding = finding_of(cut)
    assert finding.severity == "error", finding.message
    assert "detached before it gets it again, 13 times in a forward pass" in finding.message
    assert "steps with the remedy learned 100% of the task" in finding.message
    assert "not state.detach()" in finding.remedy.code
    assert finding.basis == "experiment"


class InChunks(First):
    """The same in four chunks, with a layer that goes through a chunk by itself."""

    def __init__(self, between):
        super().__init__(between)
        torch.manual_seed(0)
        self.cell = nn.LSTM(8, 24, batch_first=True)

    def forward(self, tokens):
        state = None
        for chunk in self.embedding(tokens).split(4, 1):
            given = state and tuple(self.between(one) for one in state)
            out, state = self.cell(chunk, given)
        return self.last(out[:, -1])


def test_a_state_that_is_detached_between_chunks_is_seen():
    finding = finding_of(torch.Tensor.detach, make=InChunks)
    assert finding.severity in ("warning", "error"), finding.message
    assert "detached before it gets it again, 6 times in a forward pass" in finding.message
    assert finding_of(lambda state: state, make=InChunks).severity == "ok"


def test_where_a_race_takes_too_long_it_is_a_warning(monkeypatch):
    monkeypatch.setattr("nn_inspector.checks.loop.cut_inside.race", lambda *args, **options: None)
    finding = finding_of(torch.Tensor.detach)
    assert (finding.severity, finding.basis) == ("warning", "structure"), finding.message


@pytest.mark.parametrize(
    "between", [lambda state: state, half_passed], ids=["only what is kept to be looked at", "learned all the same"]
)
def test_cuts_that_do_no_harm_pass(between):
    finding = finding_of(between)
    assert finding.severity == "ok", finding.message


def test_a_harmless_cut_is_not_blamed_for_another_fault():
    finding = finding_of(
        lambda state: state + 0 * state.detach(), then=lambda optimizer: optimizer.param_groups[0].update(lr=1e-7)
    )
    assert finding.severity == "ok", finding.message


def test_before_there_is_time_nothing_is_said():
    assert finding_of(torch.Tensor.detach, epochs=1, seconds=0.0).severity == "ok"
