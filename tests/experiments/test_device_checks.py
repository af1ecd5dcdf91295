import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nn_inspector.experiments.device_checks import DeviceChecks, device_checks

LOGITS, LABELS = torch.randn(4, 3), torch.tensor([0, 2, 1, 2])

BAD = {
    "a probability above 1": lambda: nn.BCELoss()(torch.tensor([0.5, 1.5]), torch.tensor([0.0, 1.0])),
    "a probability that is NaN": lambda: F.binary_cross_entropy(torch.tensor([torch.nan]), torch.ones(1)),
    "a label above 1": lambda: F.binary_cross_entropy(torch.tensor([0.5]), target=torch.tensor([2.0])),
    "a class too many": lambda: nn.CrossEntropyLoss()(LOGITS, LABELS + 1),
    "a class below 0": lambda: F.cross_entropy(LOGITS, LABELS - 1),
    "a class of a log-probability": lambda: F.nll_loss(LOGITS.log_softmax(1), LABELS + 1),
    "a token too many": lambda: nn.Embedding(3, 2)(torch.tensor([1, 3])),
    "a token of a bag too many": lambda: nn.EmbeddingBag(3, 2)(torch.tensor([[1, 3]])),
    "a row too many": lambda: LOGITS[LABELS + 2],
    "a row below all": lambda: LOGITS[torch.tensor([-5])],
    "a row to select too many": lambda: LOGITS.index_select(0, LABELS + 2),
    "a code too many": lambda: F.one_hot(LABELS, 2),
    "a place too many": lambda: LOGITS.gather(1, LABELS[:, None] + 1),
    "a place below 0": lambda: torch.gather(LOGITS, dim=1, index=LABELS[:, None] - 1),
    "a chance above 1": lambda: torch.bernoulli(torch.tensor([1.5])),
    "a chance below 0": lambda: torch.multinomial(torch.tensor([0.5, -0.5]), 1),
    "no chance at all": lambda: torch.zeros(3).multinomial(1),
}

GOOD = {
    "probabilities": lambda: nn.BCELoss()(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0])),
    "classes": lambda: nn.CrossEntropyLoss()(LOGITS, LABELS),
    "one class left out": lambda: F.cross_entropy(LOGITS, torch.tensor([0, 7, 1, 2]), ignore_index=7),
    "the usual one left out": lambda: F.cross_entropy(LOGITS, torch.tensor([0, -100, 1, 2])),
    "shares of classes": lambda: F.cross_entropy(LOGITS, LOGITS.softmax(1)),
    "classes of one item": lambda: F.cross_entropy(LOGITS[0], LABELS[0]),
    "no items": lambda: F.cross_entropy(LOGITS[:0], LABELS[:0], reduction="sum"),
    "tokens": lambda: nn.Embedding(3, 2)(LABELS),
    "rows": lambda: LOGITS[torch.tensor([-4, 3])],
    "rows by a mask": lambda: LOGITS[torch.tensor([True, False, True, False])],
    "one element": lambda: LOGITS[0, 1],
    "no axis": lambda: torch.tensor(3.0)[None],
    "codes": lambda: F.one_hot(LABELS),
    "places": lambda: LOGITS.gather(-1, LABELS[:, None]),
    "chances": lambda: torch.bernoulli(torch.tensor([0.0, 1.0])),
    "weights": lambda: torch.multinomial(torch.tensor([0.0, 3.0]), 1),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_the_host_refuses_is_refused_before_it_runs(kind):
    with pytest.raises((RuntimeError, IndexError)):
        BAD[kind]()
    ran = []

    class Runs(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            ran.append(func)
            return func(*args, **(kwargs or {}))

    with Runs(), DeviceChecks(), pytest.raises((RuntimeError, IndexError)):
        BAD[kind]()
    refused = {F.binary_cross_entropy, F.cross_entropy, F.nll_loss, F.embedding, F.one_hot, torch.gather,
               torch.Tensor.gather, torch.bernoulli, torch.multinomial, torch.Tensor.multinomial, F.embedding_bag,
               torch.Tensor.index_select}  # fmt: skip
    assert not refused & set(ran)
    assert "row" not in kind or torch.Tensor.__getitem__ not in ran


@pytest.mark.parametrize("kind", GOOD)
def test_what_is_in_range_is_computed_as_ever(kind):
    torch.manual_seed(0)
    expected = GOOD[kind]()
    torch.manual_seed(0)
    with DeviceChecks():
        found = GOOD[kind]()
    assert found.shape == expected.shape
    assert kind == "tokens" or torch.equal(found, expected)


def test_on_the_host_nothing_is_looked_at():
    assert not isinstance(device_checks(torch.device("cpu")), DeviceChecks)
    assert isinstance(device_checks(torch.device("cuda")), DeviceChecks)
