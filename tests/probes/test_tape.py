"""The loss that a loop computes is computed again as the loop did it, on other batches and on copies of its model."""

import copy
import dataclasses
import random
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from nn_inspector.experiments import isolated
from tests.probes.taped import (
    ITEMS,
    LARGER,
    Characters,
    Dictionary,
    Flat,
    Several,
    Student,
    Twin,
    batch_of,
    from_a_dict,
    functional,
    images,
    noisy,
    parts_by_hand,
    penalized,
    tokens,
    trained,
    tuples,
    viewed,
    watched,
    written_in_place,
)
from tests.trainings import CLASSES, FEATURES, blobs, mlp

WEIGHTS = torch.tensor([1.0, 2.0, 0.5, 1.5])

pytestmark = pytest.mark.usefixtures("nothing_was_compiled")


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


def squeezed(model, batch):
    x, y = batch
    return F.binary_cross_entropy_with_logits(model(x).squeeze(), (y > 1).float())


def as_column(model, batch):
    x, y = batch
    return F.mse_loss(model(x), y.float().view(-1, 1))


def handed_on(model, batch):
    return F.pairwise_distance(*model(batch[0])).mul(batch[1]).mean()


def viewed_by_a_fixed_size(model, batch):
    x, y = batch
    return F.cross_entropy(model(images(x).view(ITEMS, -1)), y)


def one_hot(model, batch):
    x, y = batch
    return F.mse_loss(model(x).softmax(1), F.one_hot(y, CLASSES).float())


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


def own_method(model, batch):
    x, y = batch
    return F.cross_entropy(model.head(model.encode(x)), y)


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


def arrays(x, y):
    return {"x": x.numpy(), "y": y.tolist()}


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


def test_the_program_can_be_read():
    training = watched(weighted, mlp, tuples)
    lines = str(training.tape).splitlines()
    assert lines[0] == "v0 = batch[0]"
    assert any("= model(v0)" in line for line in lines)
    assert any("cross_entropy(" in line and "label_smoothing=0.1" in line for line in lines)


def test_a_factor_that_changes_is_taken_from_the_last_step():
    training = watched(changing_factor, mlp, tuples)
    assert training.tape.changing == ("mul",)
