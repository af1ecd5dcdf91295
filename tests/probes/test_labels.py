import copy
from collections import namedtuple

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import nn_inspector as nni
from nn_inspector.probes import Epoch, find_labels, is_label_key
from nn_inspector.probes.batches import fingerprint
from tests.trainings import classifier

X, Y = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
ONE_HOT = torch.eye(3)[Y]
CLASSES = Y.tolist()
Pair = namedtuple("Pair", "image label")  # noqa: PYI024 - torch's collate makes such

READ = {
    "class numbers": ((X, Y), {"1": CLASSES}),
    "a column": ((X, Y[:, None]), {"1": CLASSES}),
    "floats": ((X, Y.double()), {"1": CLASSES}),
    "bfloat16": ((X, Y.bfloat16()), {"1": CLASSES}),
    "bytes": ((X, Y.byte()), {"1": CLASSES}),
    "bool": ((X, Y > 0), {"1": [0, 1, 1, 0, 1, 1]}),
    "one-hot": ((X, ONE_HOT), {"1": CLASSES}),
    "one-hot numbers": ((X, ONE_HOT.long()), {"1": CLASSES}),
    "smoothed": ((X, 0.9 * ONE_HOT + 0.1 / 3), {"1": CLASSES}),
    "numpy": ((X, Y.numpy()), {"1": CLASSES}),
    "a list of numbers": ((X, CLASSES), {"1": CLASSES}),
    "a single item": ((X[0], Y[1]), {"1": [1]}),
    "a python number": ((X[0], 2), {"1": [2]}),
    "named tuple": (Pair(X, Y), {"label": CLASSES}),
    "weights after them": ((X, Y, torch.rand(6)), {"1": CLASSES, "2": None}),
    "two inputs": (((X, X), Y), {"1": CLASSES}),
    "two targets": ((X, [Y, X]), {"1.0": CLASSES, "1.1": None}),
    "dict of targets": ((X, {"boxes": X, "labels": Y}), {"1.labels": CLASSES}),
    "dict": ({"x": X, "y": Y}, {"y": CLASSES}),
    "dict, best key first": ({"target": X, "label": Y}, {"label": CLASSES}),
    "dict, telling key": ({"pixel_values": X, "species_label": Y}, {"species_label": CLASSES}),
    "dict, unknown key": ({"img": X, "mask": X, "gt": Y}, {"img": None, "gt": CLASSES}),
    "numbers": ((X, X[:, 0]), {"1": None}),
    "negative": ((X, Y - 1), {"1": None}),
    "too many classes": ((X, Y * 5000), {"1": None}),
    "holes": ((X, torch.full((6,), float("nan"))), {"1": None}),
    "masks": ((X, torch.randint(0, 9, (6, 40, 40))), {"1": None}),
    "nothing": (X, {}),
    "one part": ([X], {}),
    "texts": ((X, ["a"] * 6), {}),
    "a text": ("abc", {}),
    "none": (None, {}),
    "empty": ((X[:0], Y[:0]), {}),
    "complex": ((X, torch.complex(X, X)), {}),
    "sparse": ((X, ONE_HOT.to_sparse()), {}),
    "another device": ((X, Y.to("meta")), {}),
}


@pytest.mark.parametrize("kind", READ)
def test_what_may_be_the_labels_is_read(kind):
    batch, expected = READ[kind]
    found = find_labels(batch)
    assert {one.place: None if one.classes is None else one.classes.tolist() for one in found} == expected
    for one in found:
        assert np.isfinite(one.numbers).all()
        assert one.numbers.ndim == 2
        assert one.numbers.shape[1] <= 8


@pytest.mark.parametrize("kind", READ)
def test_an_epoch_takes_any_batch(kind):
    epoch = Epoch("train", 0, 0)
    for _ in range(3):
        epoch.add(READ[kind][0])
    assert epoch.batches == epoch.read == 3
    assert set(epoch.parts) == set(READ[kind][1])


@pytest.mark.parametrize(
    ("key", "expected"),
    [("y", True), ("cls", True), ("class_id", True), ("Labels", True), ("ground_truth", True), ("batch.y", True),
     ("x", False), ("target_length", False), ("label_mask", False), ("class_weight", False), ("ids", False)],
)  # fmt: skip
def test_keys_that_say_that_labels_stand_there(key, expected):
    assert is_label_key(key) is expected


@pytest.mark.parametrize(
    "value", [X, X.numpy(), ["a", "b"], {"k": [1, 2.5]}, (X, "a"), b"ab", Y > 0, X.to(torch.complex64)]
)
def test_a_fingerprint_tells_one_order_from_another(value):
    assert fingerprint(value) == fingerprint(copy.deepcopy(value)) != 0
    assert fingerprint([value, 1]) != fingerprint([1, value])


@pytest.mark.parametrize("value", [None, object(), X.to("meta"), X[:0], [], {}])
def test_what_cannot_be_read_leaves_no_fingerprint(value):
    assert fingerprint(value) == 0
    assert fingerprint(value, 7) == 7


def test_labels_of_changing_kind_end_as_numbers():
    epoch = Epoch("train", 0, 0)
    epoch.add((X, torch.tensor([0.0, 1.0, 1.0])))
    epoch.add((X, torch.tensor([0.5, 1.0, 1.0])))
    part = epoch.parts["1"]
    assert part.classes is None
    assert part.items == 6


def test_labels_of_changing_width_are_left_out():
    epoch = Epoch("train", 0, 0)
    epoch.add((X, torch.rand(6, 2)))
    epoch.add((X, torch.rand(6, 3)))
    assert epoch.parts["1"].items == 6


def test_an_iterator_that_is_watched_can_be_copied():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader):
        iterator = iter(case.train_loader)
        twin = copy.copy(iterator)
        assert type(twin) is type(iterator)
        assert len(twin) == len(iterator)


def test_batches_of_a_kind_of_its_own_do_not_switch_the_loader_probe_off():
    class Opaque:
        def __len__(self):
            raise RuntimeError("do not ask")

    case = classifier()
    case.train_loader = DataLoader(range(8), batch_size=2, collate_fn=lambda items: Opaque())
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        list(case.train_loader)
        assert inspector.run.epochs("train")[0].batches == 4
        assert not [problem for problem in inspector.problems if "loader" in problem]
