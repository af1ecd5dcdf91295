"""Which part of a batch is taken for its labels, when their order is judged."""

import pytest
import torch
from torch.utils.data import DataLoader

import nn_inspector as nni
from nn_inspector.checks.data import shuffling
from tests.checks.label_orders import LABELS, MIXED, UNREADABLE, Items, X, Y, judged, seen
from tests.trainings import FEATURES


def classes(count, batch=16):
    return "cross_entropy", {"prediction_shape": [batch, count], "target_shape": [batch], "target_dtype": "torch.int64"}


def numbers(*shape):
    return "mse_loss", {"prediction_shape": [16, *shape], "target_shape": [16, *shape], "target_dtype": "torch.float32"}


@pytest.mark.parametrize("kind", LABELS)
def test_sorted_labels_are_seen_whatever_they_look_like(kind):
    finding = seen(LABELS[kind])
    assert finding.severity == "warning", finding.message
    assert "sorted or grouped" in finding.message


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("passes", [1, 2])
def test_mixed_labels_pass_whatever_they_look_like(kind, passes):
    finding = seen(LABELS[kind], MIXED.tolist(), passes=passes)
    assert finding.severity == ("ok" if passes == 1 else "info"), finding.message
    assert "mixed" in finding.message or "no more than by chance" in finding.message


LENGTHS = 5 + torch.arange(400) // 10
GROUPS = torch.arange(400) // 50

AMBIGUOUS = {
    "sorted lengths after mixed labels": (lambda i: (X[i], Y[MIXED[i]], LENGTHS[i]), classes(4), "ok"),
    "the same, loss not seen": (lambda i: (X[i], Y[MIXED[i]], LENGTHS[i]), None, "ok"),
    "sorted lengths before mixed labels": (lambda i: (X[i], LENGTHS[i], Y[MIXED[i]]), classes(4), "ok"),
    "sorted lengths, mixed numbers": (lambda i: (X[i], X[MIXED[i], :1], LENGTHS[i].float()), numbers(1), "undecided"),
    "sorted labels, mixed lengths": (lambda i: (X[i], Y[i], LENGTHS[MIXED[i]]), classes(4), "sorted"),
    "sorted labels before mixed groups": (lambda i: (X[i], Y[i], GROUPS[MIXED[i]]), classes(4), "sorted"),
    "the same, loss not seen ": (lambda i: (X[i], Y[i], GROUPS[MIXED[i]]), None, "undecided"),
    "mixed labels, sorted groups": (lambda i: (X[i], Y[MIXED[i]], GROUPS[i]), classes(4), "ok"),
    "item numbers last": (lambda i: (X[i], Y[MIXED[i]], i), classes(4), "ok"),
    "dict with labels and lengths": (lambda i: {"x": X[i], "length": LENGTHS[i], "what": Y[MIXED[i]]}, None, "ok"),
    "dict with target lengths": (lambda i: {"x": X[i], "target": Y[MIXED[i]], "target_len": LENGTHS[i]}, None, "ok"),
    "two inputs": (lambda i: (X[i], X[i] + 0.01 * i, Y[MIXED[i]].float()[None]), numbers(1), "ok"),
    "sequence targets": (lambda i: (X[i], Y[MIXED[i : i + 7]] if i < 390 else Y[:7]), None, "ok"),
}


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_what_else_is_in_a_batch_is_not_taken_for_labels(kind):
    make, target, expected = AMBIGUOUS[kind]
    finding = seen(make, target=target)
    if expected == "sorted":
        assert finding.severity == "warning", finding.message
    elif expected == "undecided":
        assert finding.severity == "info"
        assert "which part" in finding.message.lower()
    else:
        assert finding.severity == "ok", finding.message


@pytest.mark.parametrize("kind", UNREADABLE)
def test_labels_that_cannot_be_read_are_said_to_be_unknown(kind):
    finding = seen(UNREADABLE[kind], passes=2)
    assert finding.severity == "info"
    assert "labels could not be read, so it is not known whether the order matters" in finding.message
    with pytest.raises(nni.InspectorError, match="Nothing can be said yet: its labels could not be read"):
        seen(UNREADABLE[kind])


def test_too_few_labels_are_not_called_mixed():
    finding = seen(LABELS["class numbers"], range(0, 400, 40), size=2, passes=2)
    assert finding.severity == "info"
    assert "Only 10 labels were read" in finding.message


def test_batches_that_no_one_can_read_are_not_said_to_be_the_same():
    class Opaque:
        pass

    epochs = [shuffling.Epoch("train", number, 0, batches=4, complete=True, read=4) for number in range(2)]
    for epoch in epochs:
        epoch.add(Opaque())
    with pytest.raises(nni.InspectorError, match="labels could not be read"):
        judged(epochs, [Opaque()] * 4)


@pytest.mark.parametrize("kind", ["class numbers", "continuous", "nothing but inputs"])
def test_augmented_items_in_the_same_order_are_not_called_shuffled(kind):
    generator = torch.Generator().manual_seed(0)

    def augmented(index):
        item = {**LABELS, **UNREADABLE}[kind](int(MIXED[index]))
        noise = torch.randn(FEATURES, generator=generator)
        return (item[0] + noise, item[1]) if isinstance(item, tuple) else item + noise

    if kind == "nothing but inputs":
        with pytest.raises(nni.InspectorError, match="labels could not be read"):
            seen(augmented, passes=2)
    else:
        loader = DataLoader(Items(augmented), batch_size=16)
        epochs = [shuffling.Epoch("train", number, 0, complete=True) for number in range(2)]
        for epoch in epochs:
            for batch in loader:
                epoch.add(batch)
        assert judged(epochs, loader).evidence["same_order"] == 1
