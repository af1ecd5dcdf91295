"""Models and optimizers that make a probe stumble."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.checkpoint import checkpoint

from tests.probes.trained_alike import case
from tests.trainings import CLASSES, FEATURES, mlp


class Checkpointing(nn.Module):
    def __init__(self, *, reentrant):
        super().__init__()
        self.inner, self.reentrant = mlp(), reentrant

    def forward(self, x):
        return checkpoint(self.inner, x.requires_grad_(), use_reentrant=self.reentrant)


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.LSTM(2, 8, batch_first=True, num_layers=2, dropout=0.3), nn.Linear(8, CLASSES)

    def forward(self, x):
        lengths = torch.arange(len(x)) % 4 + 1
        packed = pack_padded_sequence(x.reshape(len(x), 4, 2), lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.rnn(packed)[1][0][-1])


class Normed(nn.Module):
    """Every kind of layer that is looked into, under a spectral norm: each reading of a weight changes the next."""

    def __init__(self):
        super().__init__()
        self.conv = spectral_norm(nn.Conv1d(2, 8, 1))
        self.rnn = spectral_norm(nn.GRU(8, 8, batch_first=True), "weight_hh_l0")
        self.mixed = spectral_norm(nn.MultiheadAttention(8, 2, batch_first=True), "in_proj_weight")
        self.apart = spectral_norm(nn.MultiheadAttention(8, 2, batch_first=True, kdim=2, vdim=2), "q_proj_weight")
        spectral_norm(self.apart.out_proj)
        self.head = spectral_norm(nn.Linear(8, CLASSES))

    def forward(self, x):
        x = x.reshape(len(x), 4, 2)
        y, _ = self.rnn(self.conv(x.mT).mT)
        y = y + self.mixed(y, y, y)[0]
        return self.head(self.apart(y, x, x)[0].mean(1))


@dataclass
class Output:
    logits: torch.Tensor
    names: tuple = ("a", "b")


class DataclassOutput(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = mlp()

    def forward(self, x):
        return Output(self.inner(x))


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.one(x)
        x += self.two(x.clone())
        return self.head(x.mul_(2).tanh_())


class Views(nn.Module):
    """Modules that return views, expanded tensors, parameters and nothing."""

    class Returns(nn.Module):
        def __init__(self, what):
            super().__init__()
            self.what = what

        def forward(self, x):
            return self.what(x)

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(FEATURES))
        self.own = Views.Returns(lambda x: self.bias)
        self.expanded = Views.Returns(lambda x: x.expand(3, *x.shape))
        self.chunks = Views.Returns(lambda x: x.chunk(2, dim=1))
        self.nothing = Views.Returns(lambda x: None)
        self.empty = Views.Returns(lambda x: x[:0])
        self.without_values = Views.Returns(lambda x: x.to("meta"))
        self.whole = Views.Returns(lambda x: (x > 0).long())
        self.head = nn.Linear(FEATURES // 2, CLASSES)

    def forward(self, x):
        self.nothing(x), self.empty(x), self.without_values(x)
        x = self.expanded(x + self.own(x) * self.whole(x)).mean(0)
        first, second = self.chunks(x)
        return self.head(first + second)


class Sparse(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(50, 6, sparse=True), nn.Linear(6, CLASSES)

    def forward(self, x):
        return self.head(self.table((x * 10).long() % 50).mean(1))


class OneTable(nn.Module):
    """Reads and answers with the same weights: `table.weight is head.weight`."""

    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(CLASSES, 6), nn.Linear(6, CLASSES)
        self.head.weight = self.table.weight

    def forward(self, x):
        return self.head(self.table((x * 10).long() % CLASSES).mean(1))


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(FEATURES, 6, dtype=torch.complex64)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x):
        return self.head(self.mix(x.to(torch.complex64)).abs())


def frozen():
    model = mlp()
    model[0].requires_grad_(False)
    return model


def with_an_empty_parameter():
    model = mlp()
    model[0].elsewhere = nn.Parameter(torch.empty(3, device="meta"))
    return model


def double(self, given: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
    return 2 * output


def with_a_hook():
    model = mlp()
    model[0].register_forward_hook(double)
    return model


def lazy():
    return nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(CLASSES))


def lazy_case():
    c = case(lazy, optimizer=lambda m: torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.05))()
    c.optimizer = torch.optim.SGD(c.model.parameters(), lr=0.05)
    return c


def adam(**options):
    return lambda model: torch.optim.Adam(model.parameters(), **options)


class Decaying(torch.optim.Adam):
    """Makes the step of its base class, and another small one."""

    broken = False

    @torch.no_grad()
    def step(self, closure=None):
        if self.broken:
            raise ArithmeticError
        loss = super().step(closure)
        for parameter in self.param_groups[0]["params"]:
            parameter.mul_(0.9)
        return loss


def of_a_subclass(model):
    torch.optim.Adam(model.parameters())  # from here on torch calls hooks in the step of the base class, too
    return Decaying(model.parameters())


def halves(model):
    return torch.optim.SGD([{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2].parameters()}], lr=0.01)
