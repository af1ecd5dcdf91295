import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nn_inspector.stats import exact_type, norms, sums
from nn_inspector.stats.norms import _scaled_norm

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
    assert norm.dtype == exact_type(tensor)
    assert norm.item() == pytest.approx(expected)


def test_many_at_once_in_their_order():
    tensors = [torch.randn(n, generator=G) for n in (1, 10, 100)]
    assert [norm.item() for norm in norms(tensors)] == pytest.approx([t.double().norm().item() for t in tensors])


def test_none_at_all():
    assert norms([]).tolist() == []


def of_range(smallest, largest, width):
    """Numbers of either sign and any magnitude in the range, zeros among them."""
    exponents = st.floats(np.log10(smallest), np.log10(largest))
    signed = st.builds(lambda sign, exponent: sign * 10.0**exponent, st.sampled_from([-1, 1]), exponents)
    dtype = np.float32 if width == 32 else np.float64
    return hnp.arrays(dtype, st.integers(1, 40), elements=signed.map(lambda x: float(dtype(x))) | st.just(0.0))


def reference(array):
    """By NumPy in extended range: float64 scaled by a power of two."""
    array = array.astype(np.float64)
    scale = 2.0 ** np.frexp(np.abs(array).max())[1] if array.any() else 1.0
    return float(np.sqrt(np.square(array / scale).sum()) * scale)


@given(of_range(1e-40, 1e38, 32))
@settings(deadline=None)
def test_float32_of_any_magnitude(array):
    (norm,) = norms([torch.from_numpy(array)])
    assert norm.item() == pytest.approx(reference(array), rel=1e-5, abs=0)


@given(of_range(1e-300, 1e300, 64))
@settings(deadline=None)
def test_float64_of_any_magnitude(array):
    found = norms([torch.from_numpy(array), torch.ones(4)])
    assert found.dtype == torch.float64
    assert found.tolist() == [pytest.approx(reference(array), rel=1e-10, abs=0), 2.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_missed(dtype, value):
    tensor = torch.ones(1000, dtype=dtype)
    tensor[7] = value
    spoiled, sound = norms([tensor, torch.ones(4, dtype=dtype)]).tolist()
    assert math.isnan(spoiled) if math.isnan(value) else spoiled == math.inf
    assert sound == 2.0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("magnitude", [1e-30, 1e-18, 1e19, 1e30])
def test_the_way_of_other_devices_agrees(dtype, magnitude):
    values = magnitude * torch.randn(500, generator=G).to(dtype)
    assert _scaled_norm(values).item() == pytest.approx(values.double().norm().item(), rel=1e-5)
    assert _scaled_norm(torch.zeros(3, dtype=dtype)).item() == 0.0
    assert _scaled_norm(torch.zeros(0, dtype=dtype)).item() == 0.0


def test_sums_are_in_the_range_of_what_is_summed():
    wide, narrow = sums([torch.full((2,), 1e39, dtype=torch.float64), torch.full((70_000,), 1.0, dtype=torch.float16)])
    assert (float(wide), float(narrow)) == (2e39, 70_000.0)
