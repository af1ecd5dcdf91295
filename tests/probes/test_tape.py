"""The loss that a loop computes is computed again as the loop did it, on other batches and on copies of its model."""

import copy
import dataclasses
import gc
import random
import weakref
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import nn_inspector as nni
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import isolated
from nn_inspector.probes import tape_modules
from tests.trainings import CLASSES, FEATURES, blobs, mlp

ITEMS, LARGER = 12, 9
WEIGHTS = torch.tensor([1.0, 2.0, 0.5, 1.5])


@pytest.fixture(autouse=True)
def _nothing_was_compiled(monkeypatch):
    """Other tests compile networks in this process."""
    monkeypatch.setattr(tape_modules, "_something_was_compiled", lambda: False)


class Several(nn.Module):
    """Two encoders and a head, a dropout that tells modes apart, and one output or several."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(FEATURES, 6), nn.Tanh())
        self.norm = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, CLASSES)
        self.register_buffer("scale", torch.tensor(2.0))

    def encode(self, x):
        return self.norm(self.encoder(x))

    def forward(self, x):
        return self.head(self.encode(x))


class Dictionary(Several):
    def forward(self, x):
        z = self.encode(x)
        return {"logits": self.head(z), "hidden": [z]}


class Twin(Several):
    def forward(self, x):
        return self.encode(x), self.encode(x.flip(1))


class Characters(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(CLASSES, 5)
        self.rnn = nn.GRU(5, 6, batch_first=True)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, tokens, hidden=None):
        out, hidden = self.rnn(self.embed(tokens), hidden)
        return self.head(out), hidden


class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp()

    def forward(self, x):
        assert x.dim() == 2
        return self.net(x)


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(FEATURES, 1)

    def forward(self, x):
        return self.net(x)


class Pair(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


@dataclasses.dataclass
class Bag:
    x: torch.Tensor
    y: torch.Tensor


class Thing:
    """A batch as some libraries have it: an object, which moves itself."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def to(self, device):
        return Thing(self.x.to(device), self.y.to(device))


def images(x):
    return x.reshape(-1, 2, FEATURES // 2)


# Loops: each computes the loss of one batch.


def functional(model, batch):
    return F.cross_entropy(model(batch[0]), batch[1])


def squeezed(model, batch):
    x, y = batch
    return F.binary_cross_entropy_with_logits(model(x).squeeze(), (y > 1).float())


def as_column(model, batch):
    x, y = batch
    return F.mse_loss(model(x), y.float().view(-1, 1))


def handed_on(model, batch):
    return F.pairwise_distance(*model(batch[0])).mul(batch[1]).mean()


def viewed(model, batch):
    x, y = batch
    return F.cross_entropy(model(images(x).view(x.size(0), -1)), y)


def viewed_by_a_fixed_size(model, batch):
    x, y = batch
    return F.cross_entropy(model(images(x).view(ITEMS, -1)), y)


def one_hot(model, batch):
    x, y = batch
    return F.mse_loss(model(x).softmax(1), F.one_hot(y, CLASSES).float())


def from_a_dict(model, batch):
    out = model(batch["x"])
    return F.cross_entropy(out["logits"], batch["y"]) + 0.1 * out["hidden"][0].pow(2).mean()


def moved_dict(model, batch):
    batch = {key: value.to("cpu") for key, value in batch.items()}
    return F.cross_entropy(model(x=batch["x"])["logits"], batch["y"])


def from_an_object(model, batch):
    batch = batch.to("cpu")
    return F.cross_entropy(model(batch.x), batch.y)


def from_names(model, batch):
    return F.cross_entropy(model(batch.x), batch.y)


def handed_on_whole(model, batch):
    return F.cross_entropy(model(batch), batch.y)


def several_calls(model, batch):
    x, y = batch
    first, second = model(x), model(x.flip(1))
    return F.cross_entropy(first, y) + F.mse_loss(first, second.detach())


def parts_by_hand(model, batch):
    x, y = batch
    z = model.norm(model.encoder(x))
    return F.cross_entropy(model.head(z * model.scale), y)


def own_method(model, batch):
    x, y = batch
    return F.cross_entropy(model.head(model.encode(x)), y)


def penalized(model, batch):
    x, y = batch
    loss = F.cross_entropy(model(x), y)
    loss += 1e-2 * sum(p.abs().sum() for p in model.parameters())
    return loss


def two_terms(model, batch):
    x, y = batch
    out = model(x)
    return 0.7 * F.cross_entropy(out, y) + 0.3 * F.multi_margin_loss(out, y)


def weighted(model, batch):
    x, y = batch
    return F.cross_entropy(model(x), y, weight=WEIGHTS, label_smoothing=0.1)


def weights_made_in_the_loop(model, batch):
    x, y = batch
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    return (F.cross_entropy(model(x), y, reduction="none") * weights[y]).mean()


def masked(model, batch):
    x, y = batch
    mask = y != 0
    return F.cross_entropy(model(x)[mask], y[mask])


def masked_and_summed(model, batch):
    x, y = batch
    mask = (y != 0).float()
    return (F.cross_entropy(model(x), y, reduction="none") * mask).sum() / mask.sum().clamp(min=1)


def divided_by_a_count(model, batch):
    x, y = batch
    mask = y != 0
    count = mask.sum().item()
    return (F.cross_entropy(model(x), y, reduction="none") * mask).sum() / count


def clamped(model, batch):
    x, y = batch
    return F.nll_loss(model(x).softmax(-1).clamp(1e-6, 1).log(), y)


def mean_by_hand(model, batch):
    x, y = batch
    out = model(x).log_softmax(1)
    return -out[torch.arange(len(y)), y].sum() / len(y)


def focal(model, batch, gamma=2.0):
    x, y = batch
    entropy = F.cross_entropy(model(x), y, reduction="none")
    return ((1 - (-entropy).exp()) ** gamma * entropy).mean()


def mixed_precision(model, batch):
    x, y = batch
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return F.cross_entropy(model(x), y)


def shifted_tokens(model, batch):
    tokens = batch[0]
    out, _ = model(tokens[:, :-1])
    return F.cross_entropy(out.reshape(-1, CLASSES), tokens[:, 1:].reshape(-1))


def fresh_hidden_state(model, batch):
    tokens = batch[0]
    hidden = torch.zeros(1, tokens.size(0), 6)
    loss = 0
    for t in range(2):
        out, hidden = model(tokens[:, t : t + 1], hidden)
        loss = loss + F.cross_entropy(out.squeeze(1), tokens[:, t + 1])
    return loss / 2


def noisy(model, batch):
    x, y = batch
    return F.cross_entropy(model(x + 0.1 * torch.randn_like(x)), y)


def mixed_items(model, batch):
    x, y = batch
    order = torch.randperm(len(x))
    return F.cross_entropy(model(0.8 * x + 0.2 * x[order]), y)


def item_by_item(model, batch):
    total = 0
    for row, label in zip(*batch, strict=True):
        total = total + F.cross_entropy(model(row[None]), label[None])
    return total


def gradient_penalty(model, batch):
    x, y = batch
    x.requires_grad_(True)
    loss = F.cross_entropy(model(x), y)
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    return loss + 0.1 * gradient.pow(2).sum()


def written_in_place(model, batch):
    x, y = batch
    x[:, 0] = 0
    out = model(x)
    out *= 2
    return F.cross_entropy(out, y)


def two_halves(model, batch):
    a, b = model(torch.cat([batch[0], -batch[0]])).chunk(2)
    targets = torch.cat([torch.zeros(len(a)), torch.ones(len(b))])
    return F.binary_cross_entropy_with_logits(torch.cat([a, b])[:, 0], targets)


def from_an_array(model, batch):
    x, y = torch.as_tensor(batch["x"]), torch.tensor(batch["y"])
    return F.cross_entropy(model(x), y)


def changing_factor(model, batch):
    x, y = batch
    return F.cross_entropy(model(x), y) * (0.5 + random.random())


def tuples(x, y):
    return x, y


def arrays(x, y):
    return {"x": x.numpy(), "y": y.tolist()}


def tokens(x, y):
    return (x > 0).long(), y


LOOPS = {
    "functional": (functional, mlp, tuples),
    "squeezed output": (squeezed, Student, tuples),
    "target as a column": (as_column, Student, tuples),
    "view": (viewed, Flat, tuples),
    "view by a fixed size": (viewed_by_a_fixed_size, Flat, tuples),
    "one-hot": (one_hot, mlp, tuples),
    "dict batch": (from_a_dict, Dictionary, lambda x, y: {"x": x, "y": y}),
    "dict batch, moved": (moved_dict, Dictionary, lambda x, y: {"x": x, "y": y}),
    "object batch": (from_an_object, mlp, Thing),
    "data class": (from_names, mlp, Bag),
    "named tuple": (from_names, mlp, Pair),
    "the model's tuple is handed on": (handed_on, Twin, tuples),
    "several calls of the model": (several_calls, Several, tuples),
    "parts called by hand": (parts_by_hand, Several, tuples),
    "a method of the model": (own_method, Several, tuples),
    "penalty on the weights": (penalized, mlp, tuples),
    "two terms": (two_terms, mlp, tuples),
    "class weights": (weighted, mlp, tuples),
    "class weights made in the loop": (weights_made_in_the_loop, mlp, tuples),
    "mask": (masked, mlp, tuples),
    "mask and sum": (masked_and_summed, mlp, tuples),
    "divided by a count": (divided_by_a_count, mlp, tuples),
    "clamp": (clamped, mlp, tuples),
    "mean by hand": (mean_by_hand, mlp, tuples),
    "arithmetic of Python's": (focal, mlp, tuples),
    "autocast": (mixed_precision, mlp, tuples),
    "shifted tokens": (shifted_tokens, Characters, tokens),
    "fresh hidden state": (fresh_hidden_state, Characters, tokens),
    "noise": (noisy, mlp, tuples),
    "items mixed": (mixed_items, mlp, tuples),
    "gradient penalty": (gradient_penalty, mlp, tuples),
    "in place": (written_in_place, mlp, tuples),
    "two halves": (two_halves, mlp, tuples),
    "arrays and lists": (from_an_array, mlp, arrays),
}


def watched(loss_of, build, wrap, steps=6, loss_fn=None, **options):
    """The training after a few steps of a loop."""
    torch.manual_seed(0)
    random.seed(0)
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    loader = DataLoader(blobs(), batch_size=ITEMS, collate_fn=collate(wrap), shuffle=True)
    with nni.watch(model, optimizer, loss_fn, train_loader=loader, show=False, **options) as inspector:
        for batch in list_of(loader, steps):
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()
    assert not [problem for problem in inspector.problems if "switched itself off" in problem]
    assert inspector.training.recorded.failure is None
    return inspector.training


def collate(wrap):
    return lambda items: wrap(torch.stack([x for x, _ in items]), torch.stack([y for _, y in items]))


def list_of(loader, steps):
    for number, batch in enumerate(loader):
        if number == steps:
            return
        yield batch


def batch_of(wrap, items, seed=5):
    return wrap(*blobs(items, seed=seed).tensors)


@pytest.mark.parametrize("items", [ITEMS, LARGER])
@pytest.mark.parametrize("name", LOOPS)
def test_the_loss_is_that_of_the_loop(name, items):
    loss_of, build, wrap = LOOPS[name]
    training = watched(loss_of, build, wrap)
    assert training.recorded.reason is None
    with isolated(training) as copied:
        twin = copy.deepcopy(copied.model)
        torch.manual_seed(7)
        replayed = copied.loss(batch_of(wrap, items))
        torch.manual_seed(7)
        if loss_of is viewed_by_a_fixed_size:
            loss_of = viewed
        expected = loss_of(twin, batch_of(wrap, items))
        torch.testing.assert_close(replayed, expected)
        replayed.backward()
        expected.backward()
        for one, other in zip(copied.model.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad)
        for one, other in zip(copied.model.buffers(), twin.buffers(), strict=True):
            torch.testing.assert_close(one, other)


def test_parts_of_a_model_are_not_watched_where_torch_has_compiled(monkeypatch):
    monkeypatch.setattr(tape_modules, "_something_was_compiled", lambda: True)
    training = watched(parts_by_hand, Several, tuples)
    assert training.tape is None
    assert "torch.compile was at work" in training.recorded.reason
    with (
        isolated(training) as copied,
        pytest.raises(ExperimentError, match=r"torch\.compile was at work.*Pass loss_fn"),
    ):
        copied.loss(batch_of(tuples, ITEMS))


class Squeezing(nn.Module):
    def forward(self, a, b):
        return ((a - b) ** 2).mean()


def test_a_loss_that_is_given_is_called_as_the_loop_does():
    loss_fn = Squeezing()
    training = watched(lambda m, b: loss_fn(m(b[0]).squeeze(), b[1].float()), Student, tuples, loss_fn=loss_fn)
    x, y = batch_of(tuples, ITEMS)
    with isolated(training) as copied:
        loss = copied.loss((x, y))
        torch.testing.assert_close(loss, loss_fn(copied.model(x).squeeze(), y.float()))


class OfBoth(nn.Module):
    """Takes what the model returned and the batch as they are."""

    def forward(self, output, batch):
        return F.cross_entropy(output["logits"], batch["label"]) + 0.1 * output["hidden"][0].square().mean()


def named(x, y):
    return {"image": x, "label": y}


@pytest.mark.parametrize("items", [ITEMS, LARGER])
def test_a_loss_is_given_the_dictionary_that_the_model_returned_and_the_batch(items):
    loss_fn = OfBoth()
    training = watched(lambda m, b: loss_fn(m(b["image"]), b), Dictionary, named, loss_fn=loss_fn)
    batch = batch_of(named, items)
    with isolated(training) as copied:
        expected = loss_fn(copy.deepcopy(copied.model)(batch["image"]), batch)
        loss = copied.loss(batch)
        torch.testing.assert_close(loss, expected)
        loss.backward()
        assert all(parameter.grad is not None for parameter in copied.model.parameters())


def test_a_loss_that_an_experiment_puts_there_judges_the_output_itself():
    training = watched(viewed, Flat, tuples, loss_fn=F.cross_entropy)
    x, y = batch_of(tuples, ITEMS)
    with isolated(training) as copied:
        output = copied.model(x)
        torch.testing.assert_close(copied.predict((x, y)), output)
        copied.loss_fn = F.multi_margin_loss
        torch.testing.assert_close(copied.loss((x, y)), F.multi_margin_loss(output, y))


def three_terms(model, batch):
    weights = sum(p.pow(2).sum() for p in model.parameters())
    return 0.1 * weights + F.cross_entropy(model(batch[0]), batch[1]) + 0.2 * model[0].weight.abs().sum()


@pytest.mark.parametrize("loss_of", [penalized, three_terms])
def test_a_penalty_can_be_left_out(loss_of):
    training = watched(loss_of, mlp, tuples)
    batch = batch_of(tuples, ITEMS)
    with isolated(training) as copied:
        copied.penalty = False
        torch.testing.assert_close(copied.loss(batch), functional(copied.model, batch))


def test_step_comes_first():
    training = watched(functional, mlp, tuples, step=lambda model, batch: 3 * functional(model, batch))
    batch = batch_of(tuples, ITEMS)
    with isolated(training) as copied:
        torch.testing.assert_close(copied.loss(batch), 3 * functional(copied.model, batch))


def test_a_share_of_an_accumulated_gradient_is_taken_as_a_whole():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    loader = DataLoader(blobs(), batch_size=8)
    with nni.watch(model, optimizer, train_loader=loader, show=False) as inspector:
        for number, batch in enumerate(loader):
            (functional(model, batch) / 4).backward()
            if number % 4 == 3:
                optimizer.step()
                optimizer.zero_grad()
    batch = batch_of(tuples, 8)
    loss = inspector.training.loss(model, None, batch)
    torch.testing.assert_close(loss, functional(model, batch))


@pytest.mark.parametrize(("taken", "factor"), [(64.0, 1.0), (2.0, 64.0), (None, 64.0)])
def test_a_scale_that_is_taken_from_the_gradients_is_left_out(taken, factor):
    def in_scale(model, optimizer, batch):
        (functional(model, batch) * 64.0).backward()
        for parameter in model.parameters() if taken is not None else ():
            parameter.grad.div_(taken)

    model = mlp()
    training = trained(model, in_scale)
    batch = batch_of(tuples, ITEMS)
    torch.testing.assert_close(training.loss(model, None, batch), factor * functional(model, batch))
    assert training.tape.taken_back == pytest.approx(64.0 / factor)


def test_parts_of_a_batch_are_added_up():
    def in_parts(model, optimizer, batch):
        for x, y in zip(batch[0].split(4), batch[1].split(4), strict=True):
            (F.cross_entropy(model(x), y) * len(x) / ITEMS).backward()

    model = mlp()
    training = trained(model, in_parts)
    batch = batch_of(tuples, ITEMS)
    torch.testing.assert_close(training.loss(model, None, batch), functional(model, batch))


def trained(model, backward, make=None, loader=None, steps=6, given=None):
    optimizer = (make or (lambda parameters: torch.optim.SGD(parameters, lr=0.05)))(model.parameters())
    loader = loader or DataLoader(blobs(), batch_size=ITEMS)
    with nni.watch(model, optimizer, train_loader=given or loader, show=False) as inspector:
        for batch in list_of(loader, steps):
            optimizer.zero_grad()
            closure = backward(model, optimizer, batch)
            optimizer.step(closure) if callable(closure) else optimizer.step()
    assert inspector.training.recorded.failure is None
    return inspector.training


def scaled(model, optimizer, batch):
    torch.amp.GradScaler("cpu", init_scale=8.0).scale(functional(model, batch)).backward()


def closed(model, optimizer, batch):
    def closure():
        optimizer.zero_grad()
        loss = functional(model, batch)
        loss.backward()
        return loss

    return closure


@pytest.mark.parametrize(
    ("backward", "make"),
    [(scaled, None), (closed, lambda parameters: torch.optim.LBFGS(parameters, max_iter=3)), (closed, None)],
    ids=["gradient scaler", "closure of LBFGS", "closure"],
)
def test_what_is_no_part_of_the_loss_is_left_out(backward, make):
    model = mlp()
    training = trained(model, backward, make)
    batch = batch_of(tuples, ITEMS)
    torch.testing.assert_close(training.loss(model, None, batch), functional(model, batch))


def test_batches_in_a_list_are_known():
    model = Flat()
    batches = [(images(x), y) for x, y in DataLoader(blobs(), batch_size=ITEMS)]

    def flattened(model, optimizer, batch):
        F.cross_entropy(model(batch[0].flatten(1)), batch[1]).backward()

    training = trained(model, flattened, loader=batches)
    x, y = batches[0]
    torch.testing.assert_close(training.loss(model, None, batches[0]), F.cross_entropy(model(x.flatten(1)), y))


def test_a_teacher_takes_part_and_is_left_alone():
    teacher = nn.Sequential(nn.Linear(FEATURES, CLASSES), nn.BatchNorm1d(CLASSES)).eval()

    def distilled(model, optimizer, batch):
        with torch.no_grad():
            wanted = teacher(batch[0]).softmax(1)
        F.cross_entropy(model(batch[0]), wanted).backward()

    model = mlp()
    training = trained(model, distilled)
    x, y = batch_of(tuples, LARGER)
    loss = training.loss(model, None, (x, y))
    loss.backward()
    torch.testing.assert_close(loss, F.cross_entropy(model(x), teacher(x).softmax(1)))
    assert all(p.grad is None for p in teacher.parameters())


# What cannot be computed again.


def through_numpy(model, batch):
    x, y = batch
    return F.cross_entropy(model(torch.from_numpy(np.tanh(x.numpy()))), y)


def by_a_number(model, batch):
    x, y = batch
    factor = 1 + x.mean().item()
    return F.cross_entropy(model(x), y) * factor


def by_a_decision(model, batch):
    x, y = batch
    loss = F.cross_entropy(model(x), y)
    if loss > 0:
        loss = loss * 2
    return loss


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


def own_gradient(model, batch):
    return F.cross_entropy(Reversed.apply(model(batch[0])), batch[1])


def by_chance(model, batch):
    x, y = batch
    loss = F.cross_entropy(model(x), y)
    return loss + model(x).pow(2).mean() if random.random() < 0.5 else loss


OTHER = nn.Linear(CLASSES, CLASSES)


def through_another_network(model, batch):
    return F.cross_entropy(OTHER(model(batch[0])), batch[1])


def carried(kept):
    def loss_of(model, batch):
        out, kept["hidden"] = model(batch[0], kept.get("hidden"))
        kept["hidden"] = kept["hidden"].detach()
        return F.cross_entropy(out[:, 0], batch[1])

    return loss_of


def disturbed_weights(model, batch):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1e-3)
    return functional(model, batch)


REFUSED = {
    "numpy": (through_numpy, mlp, tuples, "A tensor takes part that is another one in each step"),
    "a number read from the batch": (by_a_number, mlp, tuples, "reads numbers out of tensors"),
    "a decision": (by_a_decision, mlp, tuples, "looks at the values of a tensor to decide"),
    "a gradient of its own making": (own_gradient, mlp, tuples, "a gradient of its own making"),
    "chance": (by_chance, mlp, tuples, "does not compute the loss in the same way in each step"),
    "another network": (through_another_network, mlp, tuples, "Parameters take part that do not belong to the model"),
    "state between batches": (carried({}), Characters, tokens, "hands a tensor from one step on to the next"),
    "changed weights": (disturbed_weights, mlp, tuples, "changes weights before it computes the loss"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_repeated_is_said(name):
    loss_of, build, wrap, reason = REFUSED[name]
    training = watched(loss_of, build, wrap)
    assert training.tape is None
    assert reason in training.recorded.reason
    with (
        isolated(training) as copied,
        pytest.raises(ExperimentError, match="was watched, but cannot be repeated") as said,
    ):
        copied.loss(batch_of(wrap, ITEMS))
    assert "step=" in str(said.value)


def test_batches_from_elsewhere_are_said():
    model = mlp()
    training = trained(
        model, lambda m, o, batch: functional(m, batch).backward(), given=DataLoader(blobs(), batch_size=4)
    )
    assert "do not come from train_loader" in training.recorded.reason


def test_the_program_can_be_read():
    training = watched(weighted, mlp, tuples)
    lines = str(training.tape).splitlines()
    assert lines[0] == "v0 = batch[0]"
    assert any("= model(v0)" in line for line in lines)
    assert any("cross_entropy(" in line and "label_smoothing=0.1" in line for line in lines)


def test_before_any_step_nothing_is_known():
    training = watched(functional, mlp, tuples, steps=0)
    with isolated(training) as copied, pytest.raises(ExperimentError, match="not known how the loss is computed"):
        copied.loss(batch_of(tuples, ITEMS))


def test_a_factor_that_changes_is_taken_from_the_last_step():
    training = watched(changing_factor, mlp, tuples)
    assert training.tape.changing == ("mul",)


def test_a_batch_without_the_part_is_said():
    training = watched(from_a_dict, Dictionary, lambda x, y: {"x": x, "y": y})
    with isolated(training) as copied, pytest.raises(ExperimentError, match=r"Your loop takes batch\['y'\]"):
        copied.loss({"x": torch.zeros(2, FEATURES)})


def test_a_large_tensor_that_is_gone_is_said():
    tables = [torch.randn(CLASSES, 5000)]

    def looked_up(model, batch):
        return F.cross_entropy(model(batch[0] + tables[0][batch[1], :FEATURES]), batch[1])

    training = watched(looked_up, mlp, tuples)
    assert training.tape is not None
    with isolated(training) as copied:
        copied.loss(batch_of(tuples, ITEMS))
        tables.clear()
        gc.collect()
        with pytest.raises(ExperimentError, match="a large tensor that does not exist any more"):
            copied.loss(batch_of(tuples, ITEMS))


def test_the_users_tensors_are_let_go_and_never_changed():
    held = []

    def noted(model, batch):
        held.append(weakref.ref(batch[0]))
        loss = written_in_place(model, batch)
        held.append(weakref.ref(loss))
        return loss

    training = watched(noted, mlp, tuples)
    gc.collect()
    assert training.tape is not None
    assert not any(one() is not None for one in held)
    x, y = batch_of(tuples, ITEMS)
    before = x.clone()
    training.loss(training.model, None, (x, y))
    assert torch.equal(x, before)


def test_nothing_stays_on_after_the_first_steps():
    training = watched(parts_by_hand, Several, tuples, steps=8)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in training.model.modules())


def test_training_is_the_same_with_and_without():
    def run(watching):
        torch.manual_seed(3)
        model = Several()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        loader = DataLoader(blobs(), batch_size=ITEMS, shuffle=True)
        inspector = nni.watch(model, optimizer, train_loader=loader, show=False) if watching else None
        losses = []
        for batch in (batch for _ in range(2) for batch in loader):
            optimizer.zero_grad()
            beta = torch.distributions.Beta(0.4, 0.4).sample()
            loss = beta * noisy(model, batch) + parts_by_hand(model, batch) + F.dropout(model(batch[0]), 0.5).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if inspector is not None:
            inspector.detach()
            assert inspector.training.recorded.reason is None
            assert inspector.training.tape is not None
        return losses, model.state_dict(), torch.get_rng_state()

    (bare, weights, state), (losses, same, after) = run(False), run(True)
    assert losses == bare
    assert torch.equal(state, after)
    assert all(torch.equal(weights[name], same[name]) for name in weights)
