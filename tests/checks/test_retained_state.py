"""retained_state: graphs that reach into earlier steps, and hidden states of unrelated sequences."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks.loop.retained_state import growing
from tests.trainings import classifier

SEQUENCES = torch.randint(0, 10, (200, 5), generator=torch.Generator().manual_seed(0))
LABELS = (SEQUENCES[:, 0] > 4).long()


class Reader(nn.Module):
    def __init__(self, kind=nn.GRU, *, keep=False, detach=True):
        super().__init__()
        self.embedding = nn.Embedding(10, 8)
        self.rnn = kind(8, 12, batch_first=True)
        self.out = nn.Linear(12, 2)
        self.keep, self.detach, self.hidden = keep, detach, None

    def forward(self, x, hidden=None):
        out, hidden = self.rnn(self.embedding(x), self.hidden if self.keep else hidden)
        if self.keep:
            self.hidden = detached(hidden) if self.detach else hidden
        return self.out(out[:, -1]), hidden


def detached(hidden):
    return tuple(part.detach() for part in hidden) if isinstance(hidden, tuple) else hidden.detach()


def one_call(model, optimizer, loader):
    for x, y in loader:
        optimizer.zero_grad()
        F.cross_entropy(model(x)[0], y).backward(retain_graph=model.keep and not model.detach)
        for parameter in model.parameters():
            parameter.grad.data.clamp_(-1, 1)
        update(model)


def update(model):
    for parameter in model.parameters():
        parameter.data.add_(parameter.grad, alpha=-0.05)


def handed_on(let_go):
    def train(model, optimizer, loader):
        hidden = None
        for x, y in loader:
            optimizer.zero_grad()
            out, hidden = model(x, hidden)
            F.cross_entropy(out, y).backward()
            hidden = let_go(hidden)
            optimizer.step()

    return train


def watched(model, train, *, shuffle=True, data=(SEQUENCES, LABELS), epochs=1, make=torch.optim.SGD):
    torch.manual_seed(0)
    optimizer = make(model.parameters(), lr=0.05)
    loader = DataLoader(TensorDataset(*data), batch_size=20, shuffle=shuffle)
    with nni.watch(model, optimizer, train_loader=loader, show=False) as inspector:
        try:
            for _ in range(epochs):
                train(model, optimizer, loader)
        except RuntimeError as error:
            assert "second time" in str(error)  # noqa: PT017 - the loop fails as it would for its owner
    return inspector


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
def test_a_state_that_is_never_detached_is_an_error(kind):
    finding = watched(Reader(kind, keep=True, detach=False), one_call).check("retained_state")
    assert finding.severity == "error"
    assert "reaches back to the first step" in finding.message
    assert "detach()" in finding.remedy.code
    assert finding.basis == "structure"
    assert finding.evidence["steps_reached_back"][:4] == [0, 1, 2, 3]


def test_a_loop_that_fails_the_second_time_is_told_why():
    finding = watched(Reader(), handed_on(lambda hidden: hidden)).check("retained_state")
    assert finding.severity == "error"
    assert "backward() fails the second time" in finding.message


def test_a_state_of_unrelated_sequences_is_named_with_what_it_costs():
    model = Reader(keep=True)

    def train(model, optimizer, loader):
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x)[0], y).backward()
            optimizer.step()

    inspector = watched(model, train, epochs=8, make=torch.optim.Adam)
    finding = inspector.check("retained_state", seconds=120)
    assert "the state of rnn goes from one batch into the next one" in finding.message
    assert finding.where == "rnn"
    assert finding.severity == "error"
    assert finding.basis == "experiment"
    assert finding.remedy.tried.helped


@pytest.mark.parametrize(("left", "severity"), [(0.2, "warning"), (0.01, "info")])
def test_a_state_that_is_carried_on_is_a_remark_only_where_all_was_learned(monkeypatch, left, severity):
    monkeypatch.setattr("nn_inspector.checks.race.left_now", lambda subject: ("numbers", left))
    finding = watched(Reader(), handed_on(detached)).check("retained_state", seconds=0)
    assert finding.severity == severity


def test_a_state_that_the_loop_hands_on_is_seen_too():
    finding = watched(Reader(), handed_on(detached)).check("retained_state", seconds=0)
    assert finding.severity == "warning"
    assert "the state of rnn" in finding.message


@pytest.mark.parametrize(
    ("model", "train", "options"),
    [
        (Reader(), handed_on(lambda hidden: None), {}),
        (Reader(), handed_on(detached), {"shuffle": False}),
        (Reader(keep=True), one_call, {"shuffle": False}),
    ],
    ids=["begins anew", "batches in their order", "kept in the model, batches in their order"],
)
def test_sound_loops_pass(model, train, options):
    finding = watched(model, train, **options).check("retained_state", seconds=0)
    assert finding.severity == "ok"


class Decoder(nn.Module):
    """Goes on from its own state within a batch."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 6, batch_first=True)
        self.out = nn.Linear(6, 2)

    def forward(self, x):
        hidden = torch.zeros(1, len(x), 6)
        for t in range(x.shape[1]):
            _, hidden = self.rnn(x[:, t : t + 1], hidden)
        return self.out(hidden[0]), hidden


def test_time_steps_within_a_batch_may_go_on_from_each_other():
    data = torch.randn(100, 4, 3), torch.randint(0, 2, (100,))

    def train(model, optimizer, loader):
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x)[0], y).backward()
            optimizer.step()

    assert watched(Decoder(), train, data=data).check("retained_state", seconds=0).severity == "ok"


def test_two_losses_on_one_graph_are_no_earlier_step():
    case = classifier()
    with nni.watch(case.model, case.optimizer, train_loader=case.train_loader, show=False) as inspector:
        for x, y in case.train_loader:
            case.optimizer.zero_grad()
            out = case.model(x)
            F.cross_entropy(out, y).backward(retain_graph=True)
            out.pow(2).mean().backward()
            case.optimizer.step()
    assert inspector.check("retained_state").severity == "ok"


def test_before_any_backward_it_cannot_say():
    case = classifier()
    with nni.watch(case.model, case.optimizer, train_loader=case.train_loader, show=False) as inspector:
        finding = inspector.check("retained_state")
    assert finding.severity == "skipped"
    assert "No backward() was seen yet" in finding.message


def test_growing_rows():
    assert [growing(row) for row in ([], [2], [0, 1, 2, 3], [0, 1, 0, 1], [1, 1, 1])] == [0, 0, 3, 1, 0]


@pytest.mark.parametrize(
    ("order", "severity"), [([2, 0, 3, 1], "warning"), ([0, 1, 2, 3], "ok"), ([0, 0, 1, 1, 2, 2, 3, 3], "ok")]
)
def test_the_order_in_which_a_list_is_gone_through_is_known_by_the_sizes(order, severity):
    batches = [(torch.randint(0, 10, (20, length)), torch.randint(0, 2, (20,))) for length in (3, 4, 5, 6)]
    model = Reader(keep=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with nni.watch(model, optimizer, train_loader=batches, show=False) as inspector:
        for _ in range(2):
            for place in order:
                optimizer.zero_grad()
                F.cross_entropy(model(batches[place][0])[0], batches[place][1]).backward()
                optimizer.step()
    assert inspector.check("retained_state", seconds=0).severity == severity
