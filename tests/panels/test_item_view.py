from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from nn_inspector.panels.item_view import view_of
from nn_inspector.probes import SAMPLE_NUMBERS


@dataclass
class Record:
    number: int


@pytest.mark.parametrize(
    ("item", "shape"),
    [
        ((torch.rand(1, 8, 9), 3), (8, 9)),
        ({"pixels": torch.rand(3, 8, 9), "label": 1}, (8, 9, 3)),
        ([np.zeros((8, 9, 3), dtype=np.uint8), 0], (8, 9, 3)),
        ((Image.new("RGB", (9, 8)), 0), (8, 9, 3)),
        ((Image.new("P", (9, 8)), 0), (8, 9, 3)),
        (((torch.rand(8, 9), "a caption"), 1), (8, 9)),
    ],
)
def test_pictures(item, shape):
    view = view_of(item)
    assert (view.picture.shape, view.picture.dtype, view.text) == (shape, np.uint8, "")


def test_great_pictures_are_made_small():
    picture = view_of((torch.rand(3, 1000, 700), 1)).picture
    assert picture.size <= SAMPLE_NUMBERS
    assert picture.shape[2] == 3


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (("good film", 1), "“good film”"),
        ({"text": "good film", "label": 1}, "“good film”"),
        ({"id": 7, "text": "good film", "labels": [1, 2]}, "“good film”"),
        ("x" * 1000, "“" + "x" * 160 + "…”"),
        ("<b>bold</b>", "“<b>bold</b>”"),
        ((torch.tensor([1.0, float("nan"), 1e9]), 0), "1, nan, 1e+09"),
        ((torch.arange(9), 0), "0, 1, 2, 3, 4, 5, …"),
        ({"age": 31, "income": torch.tensor(2.5), "target": 1}, "age 31, income 2.5"),
        ({f"column {n}": float(n) for n in range(8)}, ", ".join(f"column {n} {n}" for n in range(6)) + ", …"),
        ((3.25, 1.0), "3.25, 1"),
        (5, "5"),
        (torch.tensor([[0, 1], [1, 0]]).to_sparse()[0], "0, 1"),
        (Record(3), "an object of type Record"),
        (None, "an object of type NoneType"),
        ({}, "an item without a part that can be shown"),
        ((), "an object of type tuple"),
        (torch.zeros(0), "an object of type Tensor"),
        (np.array(["a", "b"]), "an object of type ndarray"),
        (torch.tensor([1 + 2j, 0]), "an object of type Tensor"),
    ],
)
def test_texts_and_rows_of_tables(item, text):
    view = view_of(item)
    assert view.picture is None
    assert view.text == text
