import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn_inspector.history.levels import CHUNK, FACTOR, VECTOR_CHUNK, plan

TOTALS = st.one_of(st.integers(0, 40_000), st.integers(0, 10**12)) | st.builds(
    lambda level, times, off: max(0, FACTOR**level * CHUNK * times + off),
    st.integers(0, 8),
    st.integers(1, 17),
    st.integers(-1, 1),
)


def present(total, chunk):
    """How many values or buckets each level holds after `total` values: full chunks are reduced upwards."""
    levels = [total]
    while levels[-1]:
        levels.append(levels[-1] // chunk * chunk // FACTOR)
    return levels


@given(TOTALS, st.sampled_from([CHUNK, VECTOR_CHUNK, 8]))
def test_every_value_is_read_once_from_a_level_that_has_it(total, chunk):
    levels, position = present(total, chunk), 0
    for share in plan(total, chunk):
        assert share.start == position
        position = share.stop
        assert share.start % FACTOR**share.level == 0
        assert share.stop // FACTOR**share.level <= levels[share.level]
    assert position == total


@given(TOTALS)
def test_both_ends_are_exact_and_the_rest_is_bounded(total):
    shares = plan(total, CHUNK)
    if total:
        assert shares[0].level == shares[-1].level == 0
        assert shares[0].stop >= min(total, CHUNK)
        assert total - shares[-1].start >= min(total - CHUNK, 2 * CHUNK)
    for share in shares:
        assert (share.stop - share.start) // FACTOR**share.level <= 5 * CHUNK
    assert len(shares) <= 25


@pytest.mark.parametrize("total", [10_000, 1_000_000, 100_000_000])
def test_no_bucket_stands_for_more_than_a_small_part(total):
    coarsest = max(FACTOR**share.level for share in plan(total, CHUNK))
    assert coarsest / total <= 2 / CHUNK
