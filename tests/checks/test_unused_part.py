"""A part of the network that one of several inputs goes into, for nothing."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.checks.conftest import with_time

ITEMS, FEATURES = 192, 6


def pairs(*, both=True):
    """The class stands in the context; with `both=False` in the inputs."""
    generator = torch.Generator().manual_seed(0)
    x, context = (torch.randn(ITEMS, FEATURES, generator=generator) for _ in range(2))
    return TensorDataset(x, context, ((context if both else x)[:, 0] > 0).long())


class Conditioned(nn.Module):
    """Something is made of a context; `join` says what becomes of it."""

    def __init__(self, join="nothing"):
        super().__init__()
        torch.manual_seed(0)
        self.join, self.kept, self.calls = join, None, 0
        self.context = nn.Sequential(nn.Linear(FEATURES, 8), nn.Dropout(0.1), nn.Tanh(), nn.Linear(8, 8))
        self.body, self.head = nn.Linear(FEATURES, 8), nn.Linear(8, 2)

    def forward(self, x, hint=None):
        extra = self.context(hint)
        h = torch.tanh(self.body(x))
        if self.join == "added":
            h = h + extra
        if self.join == "kept":
            self.kept = extra.detach()
        if self.join == "now and then":
            self.calls += 1
            h = h + extra if self.calls % 10 == 0 else h
        answer = self.head(h)
        return (answer, extra) if self.join == "returned" else answer


class Shared(nn.Module):
    """Encoder and decoder share their embedding; the state of the encoder is forgotten."""

    def __init__(self, *, forgotten=True):
        super().__init__()
        torch.manual_seed(0)
        self.forgotten = forgotten
        self.embedding, self.head = nn.Embedding(9, 12), nn.Linear(24, 8)
        self.reader, self.writer = nn.GRU(12, 24, batch_first=True), nn.GRU(12, 24, batch_first=True)

    def forward(self, source, target):
        state = self.reader(self.embedding(source))[1]
        begun = F.pad(target[:, :-1], (1, 0), value=8)
        return self.head(self.writer(self.embedding(begun), None if self.forgotten else state)[0])


def train(model, data, epochs=10, rate=1e-2, *, keyword=False, parameters=None):
    loader = DataLoader(data, batch_size=16, shuffle=True)
    optimizer = torch.optim.Adam(parameters or model.parameters(), lr=rate)
    inspector = with_time(nni.watch(model, optimizer, train_loader=loader, show=False))
    for _ in range(epochs):
        for x, context, target in loader:
            optimizer.zero_grad()
            output = model(x, hint=context) if keyword else model(x, context)
            output = output[0] if isinstance(output, tuple) else output
            loss = F.cross_entropy(output.flatten(0, -2), target.flatten())
            loss.backward()
            optimizer.step()
    return inspector


def copies():
    source = torch.randint(0, 8, (ITEMS, 4), generator=torch.Generator().manual_seed(0))
    target = source.flip(1)
    return TensorDataset(source, target, target)


@pytest.mark.parametrize("keyword", [False, True])
def test_a_part_whose_outputs_are_forgotten_is_an_error_where_little_is_learned(keyword):
    with train(Conditioned(), pairs(), keyword=keyword) as inspector:
        finding = inspector.check("zero_input")
    assert finding.severity == "error", finding.message
    assert "Only in part: hint goes into context, and nothing of what that returns is used" in finding.message
    assert "none of the 4 parameters of context" in finding.message
    assert finding.where == "context"
    assert finding.basis == "experiment"


def test_an_encoder_whose_state_is_forgotten_is_found_though_its_embedding_is_shared():
    with train(Shared(), copies(), 8) as inspector:
        finding = inspector.check("zero_input")
    assert finding.severity == "error", finding.message
    assert "source goes into reader" in finding.message


def test_it_is_the_first_cause():
    with train(Conditioned(), pairs()) as inspector:
        assert inspector.diagnose().findings[0].check == "zero_input"


def test_an_encoder_whose_state_is_used_passes():
    with train(Shared(forgotten=False), copies(), 8) as inspector:
        assert inspector.check("zero_input").severity == "ok"


@pytest.mark.parametrize("join", ["added", "returned", "kept", "now and then"])
def test_what_is_used_returned_or_kept_passes(join):
    with train(Conditioned(join), pairs()) as inspector:
        assert inspector.check("zero_input").severity == "ok"


def test_a_part_that_is_not_missed_passes():
    with train(Conditioned(), pairs(both=False), 30) as inspector:
        assert inspector.check("zero_input").severity == "ok"


def test_a_frozen_part_and_one_that_no_optimizer_holds_pass():
    model = Conditioned()
    model.context.requires_grad_(False)
    with train(model, pairs()) as inspector:
        assert inspector.check("zero_input").severity == "ok"
    model = Conditioned()
    with train(model, pairs(), parameters=[*model.body.parameters(), *model.head.parameters()]) as inspector:
        assert inspector.check("zero_input").severity == "ok"


def test_a_part_that_once_got_a_gradient_is_used():
    """Two phases: the context is trained by a loss of its own first."""
    model, data = Conditioned(), pairs()
    loader = DataLoader(data, batch_size=16, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with with_time(nni.watch(model, optimizer, train_loader=loader, show=False)) as inspector:
        for number in range(10):
            for x, context, target in loader:
                optimizer.zero_grad()
                alone = model.context(context).square().mean()
                loss = alone if number == 0 else F.cross_entropy(model(x, context), target)
                loss.backward()
                optimizer.step()
        assert inspector.check("zero_input").severity in ("ok", "skipped")


def test_after_a_few_steps_nothing_is_said():
    with train(Conditioned(), pairs(), 2) as inspector:
        assert inspector.check("zero_input").severity == "ok"
