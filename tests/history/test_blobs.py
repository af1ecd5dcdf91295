import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nn_inspector.history.blobs import (
    BlobError,
    Tail,
    pack_chunk,
    pack_tail,
    unpack_chunk,
    unpack_tail,
)
from nn_inspector.history.series import Series
from tests.history.files import assert_same_array

VALUES = st.one_of(
    arrays.arrays(np.float64, st.integers(1, 60), elements=st.floats(width=64)),
    arrays.arrays(np.float64, st.integers(1, 60), elements=st.floats(width=32)),
    arrays.arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 9))),
)


@given(VALUES, st.integers(-(2**60), 2**60), st.integers(0, 2**40))
def test_a_chunk_comes_back_bit_for_bit(values, first_step, stride):
    steps = first_step + stride * np.arange(len(values))
    width = values.shape[1] if values.ndim == 2 else 0
    data, size = pack_chunk(Series.exact(steps, values), 0)
    back = unpack_chunk(data, count=len(values), width=width, level=0, size=size, first_step=first_step)
    assert_same_array(back.steps, steps)
    assert_same_array(back.values, values)
    assert (np.signbit(back.values) == np.signbit(values)).all()


@given(VALUES)
def test_buckets_come_back(values):
    buckets = Series.exact(np.arange(len(values)), values).merged(8)
    width = values.shape[1] if values.ndim == 2 else 0
    data, size = pack_chunk(buckets, 1)
    back = unpack_chunk(data, count=len(buckets), width=width, level=1, size=size, first_step=int(buckets.steps[0]))
    for name in ("steps", "values", "low", "high"):
        assert_same_array(getattr(back, name), getattr(buckets, name))
    assert back.counts.tolist() == [8] * len(buckets)


@given(VALUES)
def test_a_tail_comes_back(values):
    tail = Tail(np.arange(len(values)) % 3, np.arange(len(values)), values)
    width = values.shape[1] if values.ndim == 2 else 0
    back = unpack_tail(pack_tail(tail), len(values), width)
    for name in ("series", "steps", "values"):
        assert_same_array(getattr(back, name), getattr(tail, name))


def test_numbers_from_torch_take_four_bytes():
    values = np.random.default_rng(0).normal(size=512).astype(np.float32).astype(np.float64)
    data, size = pack_chunk(Series.exact(np.arange(512), values), 0)
    assert size == 4
    assert len(data) < 512 * 5


SOUND = {"count": 4, "width": 0, "level": 0, "size": 8, "first_step": 0}


@pytest.mark.parametrize(
    "wrong",
    [{"count": 5}, {"count": 0}, {"count": -1}, {"count": 10**9}, {"width": 3}, {"width": 10**9}, {"width": -1}, {"level": 1},
     {"level": -1}, {"level": 10**6}, {"size": 4}, {"size": 0}, {"size": 2}],
)  # fmt: skip
def test_a_chunk_whose_row_lies_is_refused(wrong):
    data, _ = pack_chunk(Series.exact(np.arange(4), np.array([0.1, 0.2, 0.3, 0.4])), 0)
    assert len(unpack_chunk(data, **SOUND)) == 4
    with pytest.raises(BlobError):
        unpack_chunk(data, **{**SOUND, **wrong})


@pytest.mark.parametrize(
    "data", [b"", b"x", zlib.compress(b""), zlib.compress(b"\0" * 64)[:-3], zlib.compress(b"\0" * 65)]
)
def test_bytes_that_are_no_chunk_are_refused(data):
    with pytest.raises(BlobError):
        unpack_chunk(data, **SOUND)


def test_a_blob_that_grows_a_thousandfold_does_not_fill_the_memory():
    bomb = zlib.compress(b"\0" * 200_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(BlobError):
            unpack_chunk(bomb, **SOUND)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("count", "width"), [(0, 0), (3, 0), (2, 1_000_000_000), (10**12, 0), (-1, 0), (2, -1)])
def test_a_tail_whose_row_lies_is_refused(count, width):
    data = pack_tail(Tail(np.zeros(2), np.zeros(2), np.zeros(2)))
    with pytest.raises(BlobError):
        unpack_tail(data, count, width)
