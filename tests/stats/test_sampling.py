import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nn_inspector.stats import strided_sample


@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(1, 200))
def test_a_sample_is_bounded_and_made_of_the_tensors_elements(shape, limit):
    tensor = torch.arange(torch.Size(shape).numel()).reshape(shape)
    sample = strided_sample(tensor, limit)
    assert 1 <= len(sample) <= max(limit, 1)
    assert len(sample.unique()) == len(sample)
    assert len(sample) == tensor.numel() or len(sample) <= limit


@pytest.mark.parametrize("shape", [(512, 64), (64, 512), (32, 16, 8, 8), (100, 10), (7, 49, 3)])
def test_no_row_column_or_channel_is_left_out(shape):
    index = torch.stack(torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij"), -1).reshape(-1, len(shape))
    flat = torch.arange(len(index)).reshape(shape)
    seen = index[strided_sample(flat, 2048)]
    for axis, length in enumerate(shape):
        assert len(seen[:, axis].unique()) == length


@given(st.integers(0, 2**31), st.floats(0, 1), st.sampled_from([(40, 64), (7, 11, 13), (2000,)]), st.integers(50, 400))
@settings(deadline=None)
def test_a_share_of_elements_in_no_order_is_as_near_as_is_said(seed, share, shape, limit):
    """Off by more than e in one of 10^9 cases at most: that is, in none of these."""
    order = torch.randperm(torch.Size(shape).numel(), generator=torch.Generator().manual_seed(seed)).reshape(shape)
    marked = (order < share * order.numel()).double()
    sample = strided_sample(marked, limit)
    assert abs(sample.mean() - marked.mean()) <= math.sqrt(math.log(2e9) / (2 * len(sample)))


def test_of_an_order_that_repeats_with_the_stride_nothing_can_be_said():
    repeating = torch.arange(3000) % 3 == 0
    assert strided_sample(repeating.reshape(-1), 1000).double().mean() == pytest.approx(1 / 3, abs=0.01)
    assert strided_sample(repeating[:2999], 1000).double().mean() == 1


def test_a_dense_tensor_in_another_order_is_not_copied():
    images = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)
    assert strided_sample(images, 50).untyped_storage().data_ptr() == images.untyped_storage().data_ptr()
