import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_module, distribute_tensor

from nn_inspector.stats import exact_type, merge, norms, real_values, summarize, sums

FLOAT8 = [getattr(torch, name) for name in dir(torch) if name.startswith("float8_")]


class Sharded(torch.Tensor):
    """Stands for a DTensor: it is known by its method alone."""

    def to_local(self):
        return torch.tensor([3.0, 4.0])


TENSORS = {
    "float64": torch.tensor([3.0, 4.0], dtype=torch.float64),
    "float32": torch.tensor([3.0, 4.0]),
    "float16": torch.tensor([3.0, 4.0], dtype=torch.float16),
    "bfloat16": torch.tensor([3.0, 4.0], dtype=torch.bfloat16),
    **{str(dtype): torch.tensor([4.0, 4.0]).to(dtype) for dtype in FLOAT8},
    "complex64": torch.tensor([3j, -4.0]),
    "complex32": torch.tensor([3j, -4.0]).to(torch.complex32),
    "int64": torch.tensor([3, 4]),
    "uint8": torch.tensor([3, 4], dtype=torch.uint8),
    "bool": torch.tensor([True, True]),
    "COO": torch.tensor([[0.0, 3.0], [4.0, 0.0]]).to_sparse(),
    "COO, not coalesced": torch.sparse_coo_tensor([[0, 1, 1]], [3.0, 1.0, 3.0], (2,)),
    "CSR": torch.tensor([[0.0, 3.0], [4.0, 0.0]]).to_sparse_csr(),
    "CSC": torch.tensor([[0.0, 3.0], [4.0, 0.0]]).to_sparse_csc(),
    "nested": torch.nested.nested_tensor([torch.tensor([3.0]), torch.tensor([4.0])], layout=torch.jagged),
    "quantized": torch.quantize_per_tensor(torch.tensor([3.0, 4.0]), 0.5, 0, torch.qint8),
    "DTensor": torch.zeros(2).as_subclass(Sharded),
    "parameter": torch.nn.Parameter(torch.tensor([3.0, 4.0])),
    "in a graph": torch.tensor([1.5, 2.0], requires_grad=True) * 2,
}


@pytest.mark.parametrize("name", TENSORS)
def test_any_tensor_has_values_norm_sum_and_summary(name):
    expected = np.array({"bool": [1.0, 1.0]}.get(name, [4.0, 4.0] if "float8" in name else [3.0, 4.0]))
    tensor = TENSORS[name]
    values = real_values(tensor)
    assert sorted(values.double().abs().tolist()) == expected.tolist()
    assert not values.requires_grad
    assert norms([tensor])[0].item() == pytest.approx(np.linalg.norm(expected))
    assert sums([tensor])[0].item() == pytest.approx(expected.sum())
    summary = summarize(tensor)
    assert (summary.count, summary.mean, summary.high) == (
        tensor.numel(),
        expected.sum() / tensor.numel(),
        expected.max(),
    )
    assert norms([tensor]).dtype == exact_type(tensor)
    assert sums([tensor])[0].dtype == exact_type(tensor)


def test_a_real_dtensor_gives_its_local_part():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        for placement in (Shard(0), Replicate()):
            tensor = distribute_tensor(torch.tensor([3.0, 4.0]), mesh, [placement])
            assert isinstance(tensor, DTensor)
            values = real_values(tensor)
            assert type(values) is torch.Tensor
            assert values.tolist() == [3.0, 4.0]
            assert (norms([tensor])[0].item(), sums([tensor])[0].item(), summarize(tensor).mean) == (5.0, 7.0, 3.5)
        layer = distribute_module(torch.nn.Linear(2, 2), mesh)
        layer(distribute_tensor(torch.ones(1, 2), mesh, [Replicate()])).sum().backward()
        (expected,) = norms([layer.weight.grad.to_local()])
        assert norms([layer.weight.grad])[0] == expected
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint32, torch.uint64])
def test_integers_beyond_those_of_float32(dtype):
    odd = 2**24 + 1
    tensor = torch.tensor([odd, 0]).to(dtype)
    assert real_values(tensor).tolist() == [odd, 0]
    assert norms([tensor]).tolist() == [odd]
    assert (summarize(tensor).low, summarize(tensor).high) == (0, odd)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.bool, torch.complex64])
def test_an_empty_tensor(dtype):
    tensor = torch.zeros(0, 3, dtype=dtype)
    assert norms([tensor])[0] == 0
    assert sums([tensor])[0] == 0
    assert summarize(tensor).count == 0


def test_dtypes_may_be_mixed():
    tensors = [TENSORS[name] for name in ("float64", "float16", "complex64", "float32")]
    assert [norm.item() for norm in norms(tensors)] == [5.0] * 4


ELEMENTS = st.floats(-60000, 60000, width=16, allow_subnormal=False)


@given(hnp.arrays(np.float16, 20, elements=ELEMENTS), hnp.arrays(np.float16, 9, elements=ELEMENTS), st.booleans())
@settings(deadline=None)
def test_merging_holds_for_half_and_complex_values(a, b, complex_values):
    first, second = torch.from_numpy(a), torch.from_numpy(b)
    if complex_values:
        first, second = torch.complex(first.float(), first.float()), torch.complex(second.float(), -second.float())
    merged, whole = merge(summarize(first), summarize(second)), summarize(torch.cat([first, second]))
    reference = torch.cat([first, second])
    reference = (reference.abs() if complex_values else reference).double().numpy()
    assert merged.histogram.tolist() == whole.histogram.tolist()
    assert merged.mean == pytest.approx(reference.mean(), abs=1e-5 * np.abs(reference).max() + 1e-30)
    assert merged.norm == pytest.approx(np.linalg.norm(reference), rel=1e-4, abs=1e-30)
    assert (merged.count, merged.zeros, merged.nan) == (29, int((reference == 0).sum()), 0)
    assert math.isclose(merged.high, reference.max(), rel_tol=1e-6)
