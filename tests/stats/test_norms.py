import pytest
import torch

from nn_inspector.stats import norms

G = torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (torch.tensor([3.0, 4.0]), 5.0),
        (torch.full((10_000,), 100.0, dtype=torch.float16), 10_000.0),
        (torch.tensor([3.0, 4.0], dtype=torch.bfloat16), 5.0),
        (torch.tensor([3 + 4j]), 5.0),
        (torch.tensor([[0.0, 3.0], [4.0, 0.0]]).to_sparse(), 5.0),
        (torch.zeros(0), 0.0),
        (torch.tensor([3, 4]), 5.0),
    ],
    ids=["float32", "float16 sum of squares beyond its range", "bfloat16", "complex", "sparse", "empty", "int"],
)
def test_norm_of_any_tensor(tensor, expected):
    (norm,) = norms([tensor])
    assert norm.dtype == torch.float32
    assert norm.item() == pytest.approx(expected)


def test_many_at_once_in_their_order():
    tensors = [torch.randn(n, generator=G) for n in (1, 10, 100)]
    assert [norm.item() for norm in norms(tensors)] == pytest.approx([t.double().norm().item() for t in tensors])


def test_none_at_all():
    assert norms([]) == []
