"""Normalizations of each item by itself, where its level or its size tells the answer and where it does not."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.checks import Subject
from nn_inspector.checks.model.own_scale import left_out, of_all, own_scales
from nn_inspector.experiments import isolated
from tests.trainings import Case, assert_equal, state_of

ITEMS = 320


def waves(*, told):
    """Noisy waves [items, 1, 32] of any size: "size" and "level" of the wave, or "shape", its frequency, are to be told."""
    generator = torch.Generator().manual_seed(0)
    size, level, shape = (torch.rand(ITEMS, 1, 1, generator=generator) for _ in range(3))
    time = torch.arange(32) + 30 * torch.rand(ITEMS, 1, 1, generator=generator)
    wave = torch.sin(time * (0.2 + shape)) + 0.1 * torch.randn(ITEMS, 1, 32, generator=generator)
    x = wave * 10 ** (2 * size - 1) if told != "level" else wave + 4 * level
    y = {"size": size, "level": level, "shape": shape}[told].flatten(1)
    return x, (y - y.mean()) / y.std()


def rows(*, told="size"):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ITEMS, 6, generator=generator) * 10 ** torch.rand(ITEMS, 1, generator=generator)
    y = {"size": x.norm(dim=1, keepdim=True).log(), "shape": F.normalize(x, dim=1)[:, :1]}[told]
    return x, (y - y.mean()) / y.std()


class Conv(nn.Module):
    def __init__(self, norm, before=None, depth=1):
        super().__init__()
        torch.manual_seed(0)
        self.before = before
        layers = [
            [nn.Conv1d(12 if place else 1, 12, 5, padding=2, bias=False), norm(12), nn.ReLU()] for place in range(depth)
        ]
        self.body = nn.Sequential(*[one for layer in layers for one in layer])
        self.head = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 1))

    def forward(self, x):
        x = x if self.before is None else self.before(x)
        return self.head(self.body(x).mean(-1))


class Rows(nn.Module):
    def __init__(self, before=None, inside=None):
        super().__init__()
        torch.manual_seed(0)
        self.before, self.inside = before, inside
        self.first, self.last = (
            nn.Linear(6, 32, bias=False),
            nn.Sequential(nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)),
        )

    def forward(self, x):
        x = self.first(x if self.before is None else self.before(x))
        return self.last(x if self.inside is None else self.inside(x))


def plain(_):
    return nn.Identity()


def standardized(x):
    return (x - x.mean(dim=-1, keepdim=True)) / (x.std(dim=-1, keepdim=True) + 1e-6)


def by_root(x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


def by_both(x):
    spread, level = torch.std_mean(x, dim=(1, 2), keepdim=True)
    return (x - level) / spread


def by_range(x):
    flat = x.flatten(1)
    low, high = flat.min(dim=1).values, flat.max(dim=1).values
    return (x - low.view(-1, 1, 1)) / (high - low).view(-1, 1, 1)


def made(model, data, *, rate=3e-3):
    loader = DataLoader(TensorDataset(*data), batch_size=32, shuffle=True)
    return Case(model, torch.optim.Adam(model.parameters(), lr=rate), nn.MSELoss(), loader)


def said(watched, case, epochs=16):
    """The finding; the training is left as it was."""
    inspector = watched(case, lambda c: c.run(epochs))
    before = state_of(case)
    finding = inspector.check("normalization", seconds=120.0)
    assert_equal(before, state_of(case))
    return finding


@pytest.mark.parametrize(
    ("norm", "words", "depth"),
    [
        (nn.InstanceNorm1d, "`instance_norm` in body.1 takes from each channel of an item its own mean and spread", 1),
        (lambda width: nn.InstanceNorm1d(width, affine=True), "`instance_norm` in body.1", 1),
        (lambda width: nn.GroupNorm(1, width), "`group_norm` in body.1 takes from each item", 1),
        (lambda width: nn.GroupNorm(3, width), "`group_norm` in body.1", 1),
        (nn.InstanceNorm1d, "and so do 1 more", 2),
    ],
)
def test_the_size_of_a_wave_is_taken_away_within_the_network(watched, norm, words, depth):
    finding = said(watched, made(Conv(norm, depth=depth), waves(told="size")))
    assert finding.severity == "error", finding.message
    assert words in finding.message
    assert "it is their size that counts" in finding.message
    assert finding.where == "body.1"
    assert finding.remedy.tried.helped


@pytest.mark.parametrize(
    ("before", "told", "name"),
    [
        (by_both, "size", "std_mean"),
        (lambda x: F.normalize(x, dim=-1), "size", "normalize"),
        (lambda x: x - x.mean(dim=2, keepdim=True), "level", "mean"),
    ],
)
def test_what_is_measured_of_each_input_by_hand(watched, before, told, name):
    finding = said(watched, made(Conv(plain, before), waves(told=told)))
    assert finding.severity == "error", finding.message
    assert f"`{name}` in" in finding.message
    assert "scale all items alike" in finding.remedy.text


@pytest.mark.parametrize(
    ("before", "name"),
    [
        (standardized, "std"),
        (by_root, "mean"),
        (by_both, "std_mean"),
        (by_range, "min"),
        (lambda x: x / x.abs().amax(dim=(1, 2), keepdim=True), "amax"),
        (lambda x: x / x.norm(dim=-1, keepdim=True).clamp(min=1e-8), "norm"),
        (lambda x: x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True), "linalg_vector_norm"),
        (lambda x: F.normalize(x, dim=-1), "normalize"),
    ],
)
def test_each_way_to_measure_by_hand_is_seen_and_a_copy_keeps_the_items_apart(watched, before, name):
    inspector = watched(made(Conv(plain, before), waves(told="size")), lambda c: c.run(1))
    found = own_scales(Subject(inspector.training, inspector.run, seconds=1.0).anatomy("initial"))
    assert name in [one.node.call.name for one in found]
    x = waves(told="size")[0][:1]
    items = torch.cat([x * size for size in (0.1, 1.0, 10.0)])
    with isolated(inspector.training) as copied, torch.no_grad():
        alike = copied.model(items)
        left_out(found)(copied)
        apart = copied.model(items)
    assert (alike[2] - alike[0]).abs() < 1e-5
    assert (apart[2] - apart[0]).abs() > 1e-3


@pytest.mark.parametrize("axes", [lambda x: x.mean(dim=2, keepdim=True), lambda x: x.mean(dim=2)[:, :, None]])
def test_a_level_that_is_taken_from_each_input_by_hand_is_seen(watched, axes):
    inspector = watched(made(Conv(plain, lambda x: x - axes(x)), waves(told="level")), lambda c: c.run(1))
    found = own_scales(Subject(inspector.training, inspector.run, seconds=1.0).anatomy("initial"))
    assert [one.node.call.name for one in found] == ["mean"]


@pytest.mark.parametrize(
    "inside", [nn.LayerNorm(32), lambda h: F.normalize(h, dim=1), lambda h: h / h.norm(dim=1, keepdim=True)]
)
def test_the_size_of_a_row_is_taken_away(watched, inside):
    finding = said(watched, made(Rows(inside=inside), rows()))
    assert finding.severity in ("error", "warning"), finding.message


@pytest.mark.parametrize(
    "model",
    [
        Conv(nn.InstanceNorm1d),
        Conv(lambda width: nn.GroupNorm(1, width)),
        Conv(plain, standardized),
        Conv(plain, by_root),
    ],
)
def test_what_does_not_depend_on_the_size_passes(watched, model):
    finding = said(watched, made(model, waves(told="shape"), rate=0.02), epochs=30)
    assert finding.severity in ("ok", "info"), finding.message


@pytest.mark.parametrize(
    "model", [Conv(nn.InstanceNorm1d), Conv(nn.BatchNorm1d, standardized), Rows(inside=nn.LayerNorm(32))]
)
@pytest.mark.parametrize("wrong", ["rate", "labels"])
def test_what_does_not_learn_for_another_reason_is_not_blamed_on_it(watched, model, wrong):
    x, y = (waves if isinstance(model, Conv) else rows)(told="shape")
    y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(1))] if wrong == "labels" else y
    finding = said(watched, made(model, (x, y), rate=1e-5 if wrong == "rate" else 3e-3))
    assert not finding.raised, finding.message


def test_a_level_that_is_given_back_in_the_end_passes(watched):
    class Reversible(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.inside = nn.Linear(32, 1)

        def forward(self, x):
            level, spread = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
            return (self.inside((x - level) / spread) * spread + level).squeeze(-1)

    finding = said(watched, made(Reversible(), waves(told="level"), rate=0.02))
    assert not finding.raised, finding.message


@pytest.mark.parametrize(
    "norm",
    [
        nn.InstanceNorm1d(12),
        nn.GroupNorm(3, 12),
        nn.LayerNorm((12, 32)),
        nn.RMSNorm((12, 32)),
        lambda h: F.normalize(h, dim=1),
        lambda h: F.normalize(h, p=1.0, dim=2),
        lambda h: h / h.std((1, 2), keepdim=True),
    ],
)
def test_a_copy_that_measures_the_whole_batch_keeps_the_items_apart(watched, norm):
    case = made(Conv(lambda _: norm if isinstance(norm, nn.Module) else Calling(norm)), waves(told="size"))
    inspector = watched(case, lambda c: c.run(1))
    found = own_scales(Subject(inspector.training, inspector.run, seconds=1.0).anatomy("initial"))
    assert len(found) == 1
    assert not found[0].first
    x = torch.cat([waves(told="size")[0][:1] * size for size in (0.1, 1.0, 10.0)])
    with isolated(inspector.training) as copied, torch.no_grad():
        before = copied.model.body[:2](x)
        after = of_all_of(copied, found, x)
    assert before.shape == after.shape
    assert (before[2] - before[0]).norm() < 0.1 * before[2].norm()
    assert (after[2] - after[0]).norm() > 0.5 * after[2].norm()
    assert after.isfinite().all()


def of_all_of(copied, found, x):
    """What the normalization of a changed copy returns."""
    seen = []
    of_all(found)(copied)
    copied.model.body[1].register_forward_hook(lambda module, args, result: seen.append(result))
    copied.model(x)
    return seen[0]


class Calling(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("told", "before", "raised"),
    [
        ("size", standardized, True),
        ("size", by_both, True),
        ("size", lambda x: x / x.abs().amax(dim=(1, 2), keepdim=True), True),
        ("size", lambda x: (x - x.mean()) / x.std(), False),
        ("size", lambda x: (x - x.mean(0)) / x.std(0), False),
        ("shape", standardized, False),
    ],
)
def test_what_the_loop_measures_of_each_item(watched, told, before, raised):
    case = made(Conv(nn.BatchNorm1d), waves(told=told), rate=0.02 if told == "shape" else 3e-3)

    def loop(case):
        for _ in range(30 if told == "shape" else 16):
            for x, y in case.train_loader:
                case.optimizer.zero_grad()
                case.loss_fn(case.model(before(x)), y).backward()
                case.optimizer.step()

    finding = watched(case, loop).check("normalization", seconds=120.0)
    assert finding.raised is raised, finding.message
    if raised:
        assert "in your loop is measured for each item by itself" in finding.message
        assert finding.where == "loop"
