"""Where the first NaN or Inf came from: pure logic, and in a training."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nn_inspector as nni
from nn_inspector.history.earlier import earlier
from nn_inspector.history.nonfinite import BEFORE, NonfiniteFinder
from nn_inspector.probes import Measurement
from tests.trainings import CLASSES, FEATURES, blobs, mlp


def step(number, *, forward=(), backward=(), loss=1.0, gradients=(), weights=(), updates=()):
    """Measurements of one step of a net with the layers a, b, c; the loss comes first, as it does."""
    found = [Measurement(number, "loss", "train", loss)]
    for prefix, wrong, names in (("activation", forward, "abc"), ("activation_gradient", backward, "cba")):
        for name in names:
            found.append(Measurement(number, f"{prefix}_mean", name, 0.5))
            found.append(Measurement(number, f"{prefix}_nonfinite", name, float(name in wrong)))
    for quantity, wrong in (("gradient_norm", gradients), ("weight_norm", weights), ("update_norm", updates)):
        found += [Measurement(number, quantity, name, math.nan if name in wrong else 1.0) for name in "abc"]
    return found


@pytest.mark.parametrize(
    ("facts", "where", "source"),
    [
        ({"forward": "bc", "loss": math.nan, "backward": "abc", "gradients": "abc"}, "forward", "b"),
        ({"loss": math.inf, "backward": "cba"}, "loss", "train"),
        ({"backward": "ba", "gradients": "a"}, "backward", "b"),
        ({"gradients": "bc", "updates": "bc"}, "gradient", "b"),
        ({"updates": "c"}, "weight", "c"),
        ({"weights": "b", "forward": "bc", "loss": math.nan}, "weight", "b"),
    ],
)
def test_the_first_in_the_order_of_a_step(facts, where, source):
    finder = NonfiniteFinder()
    for number in range(3):
        finder.add(step(number))
    finder.add(step(3, **facts))
    finder.add(step(4, forward="abc", loss=math.nan))
    found = finder.answer
    assert (found.step, found.where, found.source) == (3, where, source)
    assert len(found.before) <= BEFORE
    assert found.before[0].step >= 0


def test_what_came_before_is_remembered_in_order():
    finder = NonfiniteFinder()
    for number in range(5):
        finder.add(step(number))
    finder.add(step(5, forward="c"))
    before = [(summary.step, summary.where, summary.source) for summary in finder.answer.before]
    assert len(before) == BEFORE
    assert before[-3:] == [(4, "backward", "a"), (5, "forward", "a"), (5, "forward", "b")]
    assert finder.answer.before[-1].numbers == {"mean": 0.5, "nonfinite": 0.0}


def test_measurements_of_a_step_may_come_in_parts():
    finder = NonfiniteFinder()
    parts = step(0, forward="b", loss=math.nan)
    for part in parts:
        finder.add([part])
    assert (finder.answer.where, finder.answer.source) == ("forward", "b")


def test_nothing_to_find():
    finder = NonfiniteFinder()
    finder.add(step(0))
    finder.add([Measurement(0, "loss", "validation", math.nan)])
    assert finder.answer is None


def train(model, spoil, steps=30, **options):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with nni.watch(model, optimizer, **{"every": 1, "probes": "full", **options}) as inspector:
        for number in range(steps):
            x, y = (part.clone() for part in blobs(16, seed=number).tensors)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            spoil(number, model)
            optimizer.step()
    return inspector.run


class Divide(nn.Module):
    """Gives Inf from its fifth call on."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x / (0.0 if self.calls > 5 else 1.0)


def test_a_division_by_zero_is_found_where_it_is():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), Divide(), nn.Linear(8, CLASSES))
    found = train(model, lambda number, model: None).nonfinite
    assert (found.step, found.where, found.source) == (5, "forward", "2")
    assert [summary.source for summary in found.before[-2:]] == ["0", "1"]
    assert found.then is None


def test_it_is_in_the_file(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), Divide(), nn.Linear(8, CLASSES))
    run = train(model, lambda number, model: None, every=4, run=tmp_path / "lost.sqlite")
    read = nni.open_run(tmp_path / "lost.sqlite")
    assert read.nonfinite.then is not None
    assert repr(read.nonfinite) == repr(run.nonfinite)  # NaN is not equal to itself
    assert earlier(read, 4).nonfinite is None
    assert earlier(read, 5).nonfinite.step == 5


def test_a_gradient_that_the_loop_spoils():
    def spoil(number, model):
        if number == 7:
            model[2].weight.grad[0, 0] = math.nan

    found = train(mlp(), spoil).nonfinite
    assert (found.step, found.where, found.source) == (7, "gradient", "2.weight")


class TwoHeads(nn.Module):
    """The second tensor that it returns is lost, the first one is not."""

    def forward(self, x):
        return x, {"more": [torch.full_like(x, math.nan)]}


def test_a_second_tensor_that_a_module_returns_is_looked_at_as_well():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.body, self.heads = nn.Linear(FEATURES, CLASSES), TwoHeads()

        def forward(self, x):
            return self.heads(self.body(x))[0]

    found = train(Model(), lambda number, model: None, steps=2, probes="standard").nonfinite
    assert (found.step, found.where, found.source) == (0, "forward", "heads")


class SquareRoot(nn.Module):
    """Its derivative at zero is Inf, and Inf times 0 is NaN."""

    def forward(self, x):
        return (x * 0).sqrt() + x


def test_a_derivative_that_is_not_finite():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 8), SquareRoot(), nn.Linear(8, CLASSES))
    found = train(model, lambda number, model: None).nonfinite
    assert (found.step, found.where, found.source) == (0, "backward", "0")


def test_a_loss_that_breaks_between_measured_steps_has_the_next_one_measured():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), Divide(), nn.Linear(8, CLASSES))
    run = train(model, lambda number, model: None, every=4)
    assert run.series("gradient_norm", "0.weight").steps.tolist() == [0, 4, 6, 8, 12, 16, 20, 24, 28]
    found = run.nonfinite
    assert (found.step, found.where, found.source) == (5, "loss", "train")
    assert (found.then.step, found.then.where) == (6, "weight")


def scaled_training(steps, *, fused=True, inf_at=(), nan_weight_at=None, **options):
    """A net that a gradient scaler helps to train: the gradient is Inf in some steps, and a weight is lost in one."""
    torch.manual_seed(0)
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    x, y = blobs(16).tensors
    with nni.watch(model, optimizer, every=1, probes="full", **options) as inspector:
        for number in range(steps):
            if number == nan_weight_at:
                with torch.no_grad():
                    model[2].weight[0, 0] = math.nan
            optimizer.zero_grad()
            scaler.scale(F.cross_entropy(model(x), y)).backward()
            if number in inf_at:
                model[0].weight.grad.fill_(torch.inf)
            scaler.step(optimizer)
            scaler.update()
    return inspector


def test_a_gradient_scaler_that_looks_for_its_scale_is_no_source():
    inspector = scaled_training(6, inf_at=(0, 1))
    assert inspector.run.nonfinite is None
    assert inspector.run.series("gradient_norm", "0.weight").steps.tolist() == [2, 3, 4, 5]
    assert inspector.run.series("update_norm", "0.weight").steps.tolist() == [0, 1, 2, 3, 4, 5]
    assert inspector.run.series("activation_gradient_norm", "2").steps.tolist() == [2, 3, 4, 5]
    assert inspector.run.series("gradient_spread", "2.weight").steps.tolist() == [2, 3, 4, 5]
    assert inspector.run.series("loss", "train").steps.tolist() == [0, 1, 2, 3, 4, 5]
    assert inspector.run.series("activation_mean", "2").steps.tolist() == [0, 1, 2, 3, 4, 5]


def test_what_is_lost_after_a_skipped_step_is_the_source():
    found = scaled_training(12, inf_at=(0,), nan_weight_at=9).run.nonfinite
    assert (found.step, found.where, found.source) == (9, "weight", "2.weight")


def test_a_scaler_that_never_finds_its_scale_hides_nothing():
    inspector = scaled_training(25, inf_at=range(25))
    found = inspector.run.nonfinite
    assert (found.step, found.where, found.source) == (20, "gradient", "0.weight")
    assert not inspector.problems


class Recurring(nn.Module):
    """One cell that is called in each of many steps of time; from one on its input is spoiled."""

    def __init__(self, spoiled_from=None):
        super().__init__()
        self.cell, self.head = nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, CLASSES)
        self.spoiled_from = spoiled_from

    def forward(self, x):
        for time in range(20):
            x = torch.tanh(self.cell(x * (math.nan if time == self.spoiled_from else 1.0)))
        return self.head(x)


@pytest.mark.parametrize(("spoiled_from", "source"), [(None, None), (2, "cell"), (16, "cell")])
def test_a_module_that_is_called_very_often_is_named(spoiled_from, source):
    torch.manual_seed(0)
    model, (x, y) = Recurring(), blobs(16).tensors
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with nni.watch(model, optimizer, every=1, probes="full") as inspector:
        for number in range(4):
            model.spoiled_from = spoiled_from if number == 3 else None
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    found = inspector.run.nonfinite
    assert (found and (found.step, found.where, found.source)) == (source and (3, "forward", source))


@pytest.mark.parametrize("micro_batch", [0, 3, 4, 6, 7])
def test_the_module_is_named_in_any_micro_batch(micro_batch):
    torch.manual_seed(0)
    model, (x, y) = mlp(), blobs(16).tensors
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with nni.watch(model, optimizer, every=1, probes="full") as inspector:
        for number in range(3):
            optimizer.zero_grad()
            for part in range(8):
                inputs = x.clone()
                if number == 2 and part == micro_batch:
                    inputs[0, 0] = math.inf
                F.cross_entropy(model(inputs), y).backward()
            optimizer.step()
    found = inspector.run.nonfinite
    assert (found.step, found.where, found.source) == (2, "forward", "0")


@pytest.mark.parametrize("place", [0, 90_000 - 7])
@pytest.mark.parametrize("where", ["weight", "gradient"])
def test_distributions_alone_miss_nothing(where, place):
    torch.manual_seed(0)
    model = nn.Linear(300, 300)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with nni.watch(model, optimizer, every=1, probes=[f"{where}_distributions"]) as inspector:
        for number in range(3):
            optimizer.zero_grad()
            model(torch.ones(4, 300)).sum().backward()
            if number == 1:
                with torch.no_grad():
                    (model.weight if where == "weight" else model.weight.grad).view(-1)[place] = math.nan
            optimizer.step()
    found = inspector.run.nonfinite
    assert (found.step, found.where, found.source) == (1, where, "weight")
    assert inspector.run.series(f"{where}_nonfinite", "weight").values[0] >= 1 / 90_000
    assert inspector.run.sources(f"{where}_nonfinite") == ["weight"]


def test_what_is_finite_adds_no_quantity():
    inspector = scaled_training(3)
    assert not {"weight_nonfinite", "gradient_nonfinite"} & set(inspector.run.quantities())
