import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nn_inspector.stats import (
    BINS,
    EXPONENTS,
    Summary,
    finite_sign,
    is_finite,
    magnitude_histogram,
    merge,
    pack_sums,
    summarize,
    summarize_rows,
    unpack_sums,
)
from nn_inspector.stats.summary import EMPTY

VALUES = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=False)
ARRAYS = hnp.arrays(np.float32, st.integers(0, 40), elements=VALUES)


def reference(array: np.ndarray) -> dict[str, float]:
    """The same numbers from float64 NumPy, written independently."""
    finite = array[np.isfinite(array)].astype(np.float64)
    return {
        "count": array.size,
        "nan": int(np.isnan(array).sum()),
        "inf": int(np.isinf(array).sum()),
        "zeros": int((array == 0).sum()),
        "mean": float(finite.mean()) if finite.size else 0.0,
        "spread": float(finite.std()) if finite.size else math.nan,
        "low": float(finite.min()) if finite.size else math.nan,
        "high": float(finite.max()) if finite.size else math.nan,
    }


def assert_close(summary: Summary, expected: dict[str, float]) -> None:
    scale = np.nanmax([abs(expected["low"]), abs(expected["high"]), 0.0])
    for name in ("count", "nan", "inf", "zeros"):
        assert getattr(summary, name) == expected[name], name
    for name in ("mean", "spread", "low", "high"):
        found = getattr(summary, name)
        if math.isnan(expected[name]):
            assert math.isnan(found), name
        else:
            assert found == pytest.approx(expected[name], abs=2e-5 * scale), name


@given(ARRAYS)
@settings(deadline=None)
def test_summary_agrees_with_a_float64_reference(array):
    assert_close(summarize(torch.from_numpy(array)), reference(array))


@given(ARRAYS, ARRAYS)
@settings(deadline=None)
def test_merging_two_summaries_is_the_summary_of_both(a, b):
    merged = merge(summarize(torch.from_numpy(a)), summarize(torch.from_numpy(b)))
    both = np.concatenate([a, b])
    whole = summarize(torch.from_numpy(both))
    assert_close(merged, reference(both))
    assert merged.histogram.tolist() == whole.histogram.tolist()
    assert merged.norm == pytest.approx(whole.norm, rel=1e-4)
    assert [merged.quantile(q) for q in (0.0, 0.3, 1.0)] == pytest.approx(
        [whole.quantile(q) for q in (0.0, 0.3, 1.0)], nan_ok=True
    )


INTEGERS = hnp.arrays(np.int64, st.integers(1, 30), elements=st.integers(-(2**53), 2**53))


@given(INTEGERS, INTEGERS)
@settings(deadline=None)
def test_integers_are_not_rounded(a, b):
    merged, both = merge(summarize(torch.from_numpy(a)), summarize(torch.from_numpy(b))), np.concatenate([a, b])
    assert (merged.low, merged.high) == (both.min(), both.max())
    assert merged.norm == pytest.approx(np.linalg.norm(both.astype(np.float64)), rel=1e-12)


PATCHY = hnp.arrays(np.float32, (4, 6), elements=st.sampled_from([0.0, 0.0, 1.5, -3.0, math.nan]))


@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr", "to_sparse_csc"])
@given(a=PATCHY, b=PATCHY)
@settings(deadline=None)
def test_zeros_that_a_sparse_tensor_does_not_store_count(layout, a, b):
    merged = merge(*(summarize(getattr(torch.from_numpy(part), layout)()) for part in (a, b)))
    assert_close(merged, reference(np.concatenate([a, b])))
    assert merged.histogram.tolist() == summarize(torch.from_numpy(np.concatenate([a, b]))).histogram.tolist()


@given(hnp.arrays(np.float32, st.integers(1, 30), elements=VALUES))
@settings(deadline=None)
def test_every_finite_value_is_in_exactly_one_bin(array):
    counts = magnitude_histogram(torch.from_numpy(array)[None])[0].numpy()
    expected = np.zeros(BINS)
    for value in array[np.isfinite(array)].astype(np.float64):
        exponent = math.floor(math.log2(abs(value))) if value else EXPONENTS.start - 1
        octave = min(max(exponent, EXPONENTS.start - 1), EXPONENTS.stop - 1) - (EXPONENTS.start - 1)
        expected[BINS // 2 + int(math.copysign(octave, value))] += 1
    assert counts.tolist() == expected.tolist()


@pytest.mark.parametrize("exponent", [-41, -40, -1, 0, 1, 23, 24])
def test_powers_of_two_begin_their_bin(exponent):
    low, just_below = 2.0**exponent, math.nextafter(2.0**exponent, 0)
    bins = [int(magnitude_histogram(torch.tensor([[v]], dtype=torch.float32))[0].argmax()) for v in (low, just_below)]
    assert bins[0] - BINS // 2 == min(max(exponent + 41, 0), len(EXPONENTS))
    assert bins[1] == bins[0] or math.isclose(just_below, low, rel_tol=1e-7)


@pytest.mark.parametrize(
    ("tensor", "mean"),
    [
        (torch.tensor([6e4, 6e4], dtype=torch.float16), 60000.0),
        (torch.tensor([1.5, 2.5], dtype=torch.bfloat16), 2.0),
        (torch.tensor([3 + 4j]), 5.0),
        (torch.tensor([1, 2, 3]), 2.0),
        (torch.tensor([True, False]), 0.5),
        (torch.tensor([[0.0, 2.0]]).to_sparse(), 1.0),
        (torch.tensor(7.0), 7.0),
        (torch.ones(3, 4).t(), 1.0),
        (torch.ones(2, 3, 4, 4).to(memory_format=torch.channels_last), 1.0),
        (torch.ones(2, 8)[:, ::2], 1.0),
    ],
    ids=["float16", "bfloat16", "complex", "int", "bool", "sparse", "scalar", "transposed", "channels_last", "strided"],
)
def test_any_dtype_and_layout(tensor, mean):
    assert summarize(tensor).mean == pytest.approx(mean)


def test_an_empty_tensor_has_no_numbers_and_merges_away():
    something = summarize(torch.tensor([1.0, 2.0]))
    assert summarize(torch.zeros(0)) is EMPTY
    assert math.isnan(EMPTY.spread)
    assert math.isnan(EMPTY.zero_share)
    assert merge(EMPTY, something).mean == something.mean
    assert merge(EMPTY, EMPTY).count == 0


def test_rows_of_different_length_do_not_mix():
    rows = torch.tensor([[1.0, 3.0, 1.0, 1.0], [math.nan, math.inf, 0.0, 2.0]])
    first, second = (Summary.unpack(row) for row in summarize_rows(rows, torch.tensor([2, 4])).numpy())
    assert (first.count, first.nan, first.mean, first.spread) == (2, 0, 2.0, 1.0)
    assert (second.nan, second.inf, second.zeros, second.low, second.high) == (1, 1, 1, 0.0, 2.0)


def test_the_norm_follows_from_mean_and_spread():
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0)) + 3
    assert summarize(values).norm == pytest.approx(values.norm().item(), rel=1e-5)


@given(hnp.arrays(np.float32, st.integers(1, 60), elements=VALUES), st.floats(0, 1))
@settings(deadline=None)
def test_a_quantile_lies_in_the_bin_of_the_true_one(array, q):
    summary = summarize(torch.from_numpy(array))
    finite = np.sort(array[np.isfinite(array)].astype(np.float64))
    estimate = summary.quantile(q)
    if not finite.size:
        assert math.isnan(estimate)
        return
    true = finite[0] if q == 0 else finite[max(math.ceil(q * finite.size), 1) - 1]
    assert finite[0] <= estimate <= finite[-1]
    assert bin_of(estimate) == bin_of(true)


def bin_of(value: float) -> int:
    """By the logarithm, not by bits."""
    magnitude = abs(value)
    if magnitude < 2.0**-40:
        return 0
    octave = min(math.floor(math.log2(magnitude)), EXPONENTS.stop - 1)
    return int(math.copysign(octave - EXPONENTS.start + 1, value))


@pytest.mark.parametrize("q", [0.05, 0.5, 0.9])
def test_a_quantile_of_a_sample_is_as_near_as_is_said(q):
    """At most one in 100 orders of the elements may leave the bins between the quantiles that e = 0.1 allows."""
    generator, limit, chance = torch.Generator().manual_seed(0), 265, 0.01
    off = math.sqrt(math.log(2 / chance) / (2 * limit))
    assert off == pytest.approx(0.1, abs=1e-3)
    values = torch.randn(4001, generator=generator).exp() * torch.randn(4001, generator=generator)
    ranked = np.sort(values.numpy())
    low, high = (ranked[round(min(max(q + e, 0.0), 1.0) * 4000)] for e in (-off, off))
    estimates = [summarize(values[torch.randperm(4001, generator=generator)], limit).quantile(q) for _ in range(300)]
    outside = sum(not bin_of(float(low)) <= bin_of(estimate) <= bin_of(float(high)) for estimate in estimates)
    assert outside <= chance * len(estimates)


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_a_quantile_outside_zero_to_one_is_refused(q):
    with pytest.raises(ValueError, match="between 0 and 1"):
        summarize(torch.ones(2)).quantile(q)


@given(
    hnp.arrays(
        np.float32, st.integers(1, 30), elements=st.floats(-(2.0**60), 2.0**60, width=32, allow_subnormal=False)
    ),
    st.integers(1, 29),
)
@settings(deadline=None)
def test_sums_of_parts_are_the_sums_of_the_whole(array, cut):
    parts = [part for part in (array[:cut], array[cut:]) if part.size]
    packed = [pack_sums(summarize_rows(torch.from_numpy(p)[None], torch.tensor([p.size])).numpy())[0] for p in parts]
    added = unpack_sums(sum(packed))
    expected = reference(array)
    scale = float(np.abs(array).max())
    for name in ("count", "nan", "inf", "zeros"):
        assert getattr(added, name) == expected[name], name
    assert added.mean == pytest.approx(expected["mean"], abs=2e-5 * scale)
    assert added.spread == pytest.approx(expected["spread"], abs=1e-3 * scale)
    assert added.histogram.tolist() == summarize(torch.from_numpy(array)).histogram.tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_sample_never_misses_what_is_not_finite(dtype, value):
    tensor = torch.ones(1000, dtype=dtype)
    tensor[1] = value
    summary = summarize(tensor, limit=10)
    assert (summary.nan, summary.inf) == ((1, 0) if math.isnan(value) else (0, 1))
    assert summary.mean == 1


def test_large_half_precision_values_do_not_overflow_in_a_sum():
    summary = summarize(torch.full((100_000,), 60_000.0, dtype=torch.float16), limit=1000)
    assert (summary.inf, summary.mean, summary.spread) == (0, 60_000.0, 0.0)


def test_rows_may_be_given_with_their_weights():
    rows, sizes = torch.randn(3, 8), torch.tensor([8, 5, 1])
    rows[1, 5:], rows[2, 1:] = rows[1, 0], rows[2, 0]
    weights = (torch.arange(8) < sizes[:, None]).float()
    assert torch.equal(summarize_rows(rows, sizes), summarize_rows(rows, sizes, weights))


WIDE = st.floats(-1e300, 1e300) | st.sampled_from([math.nan, math.inf, -math.inf, 1e-300, 0.0])


@given(hnp.arrays(np.float64, st.integers(0, 40), elements=WIDE))
@settings(deadline=None)
def test_float64_is_described_in_float64(array):
    found, finite = summarize(torch.from_numpy(array)), array[np.isfinite(array)]
    assert (found.count, found.nan, found.inf) == (array.size, np.isnan(array).sum(), np.isinf(array).sum())
    if finite.size:
        assert (found.low, found.high) == (finite.min(), finite.max())
        scale = np.abs(finite).max() or 1.0
        assert found.mean == pytest.approx((finite / scale).mean() * scale, abs=1e-12 * scale)
        assert found.histogram.sum() == finite.size


def test_a_sum_beyond_the_range_is_no_inf():
    summary = summarize(torch.full((1000,), 1e38), limit=10)
    assert (summary.nan, summary.inf) == (0, 0)
    assert summary.mean == pytest.approx(1e38)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_whether_all_is_finite_is_seen_in_either_way(dtype, value):
    values = torch.full((70,), torch.finfo(dtype).max, dtype=dtype)
    values[::2] *= -1 if value is None else 1
    if value is not None:
        values[5] = value
    assert is_finite(values) == (value is None)
    assert bool(finite_sign(values) == 0) == (value is None)
    assert is_finite(values[:0])
    assert finite_sign(values[:0]) == 0


def test_a_sample_has_the_weight_of_the_whole():
    zeros, ones = summarize(torch.zeros(10_000), limit=100), summarize(torch.ones(100), limit=100)
    merged = merge(zeros, ones)
    assert (zeros.count, zeros.zeros, merged.count) == (10_000, 10_000, 10_100)
    assert merged.mean == pytest.approx(100 / 10_100)
    assert merged.zero_share == pytest.approx(10_000 / 10_100)
    assert merged.histogram.sum() == pytest.approx(10_100)
    values = torch.randn(50_000, generator=torch.Generator().manual_seed(0)) + 2
    assert summarize(values, limit=1000).norm == pytest.approx(values.norm().item(), rel=0.05)


@given(ARRAYS, ARRAYS, st.integers(1, 12))
@settings(deadline=None)
def test_merging_holds_with_nan_inf_and_a_small_limit(a, b, limit):
    parts = [summarize(torch.from_numpy(part), limit=limit) for part in (a, b)]
    merged, both = merge(*parts), np.concatenate([a, b]).astype(np.float64)
    assert merged.count == both.size
    assert (merged.nan > 0) == bool(np.isnan(both).any())
    assert (merged.inf > 0) == bool(np.isinf(both).any())
    assert 0 <= merged.nan + merged.inf <= merged.count
    known = [part for part in parts if part.finite and not math.isnan(part.low)]
    if known:
        n = sum(part.finite for part in known)
        expected = sum(part.mean * part.finite / n for part in known)
        scale = max(abs(merged.low), abs(merged.high))
        assert merged.mean == pytest.approx(expected, abs=1e-5 * scale)
        assert merged.low >= np.nanmin(both[np.isfinite(both)])
        assert merged.high <= np.nanmax(both[np.isfinite(both)])


def test_a_view_that_is_yet_to_be_negated():
    values = torch.tensor([1 + 2j, 3 - 4j]).conj().imag
    assert values.is_neg()
    assert (summarize(values).low, summarize(values).high) == (-2.0, 4.0)


def test_more_elements_than_float32_can_count():
    summary = summarize(torch.zeros(1, dtype=torch.int8).expand(2**25), limit=2**26)
    assert (summary.count, summary.zeros, summary.histogram.sum()) == (2**25, 2**25, 2**25)


@pytest.mark.parametrize("sizes", [(1, 1), (1, 3), (10, 2), (0, 3), (10, 0)])
def test_merging_at_the_ends_of_the_range(sizes):
    far = 1.7e308
    parts = [torch.full((size,), value, dtype=torch.float64) for size, value in zip(sizes, (far, -far), strict=True)]
    merged, whole = merge(*map(summarize, parts)), summarize(torch.cat(parts))
    assert merged.mean == pytest.approx(whole.mean, rel=1e-12, abs=1e-12 * far)
    assert (merged.low, merged.high, merged.deviations) == (whole.low, whole.high, whole.deviations)
