import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nn_inspector.checks.data.evenness import BEYOND_CHANCE, evenness
from nn_inspector.checks.data.shuffling import GROUPED
from nn_inspector.probes import BlockSums, Epoch

RANDOM = np.random.default_rng(0)


def judged(labels, size=16):
    epoch = Epoch("train", 0, 0)
    for start in range(0, len(labels), size):
        chunk = torch.as_tensor(np.asarray(labels[start : start + size]))
        epoch.add((torch.zeros(len(chunk), 1), chunk))
    return evenness(epoch.parts["1"])


def sound(found):
    return found is None or not (found.real and found.uneven >= GROUPED)


KINDS = {
    "classes": lambda random, items, classes: random.integers(0, classes, items),
    "imbalanced": lambda random, items, classes: (random.random(items) < 0.02).astype(np.int64),
    "numbers": lambda random, items, classes: random.normal(size=items),
    "heavy tails": lambda random, items, classes: np.exp(4 * random.normal(size=items)),
    "two targets": lambda random, items, classes: random.normal(size=(items, 2)),
    "many labels": lambda random, items, classes: (random.random((items, 30)) < 0.1).astype(np.float32),
}


@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(2, 20), st.integers(20, 1000), st.sampled_from([1, 2, 16, 64]), st.integers(0, 10**6))
@settings(deadline=None, max_examples=40)
def test_random_order_is_not_taken_as_grouped(kind, classes, items, size, seed):
    found = judged(KINDS[kind](np.random.default_rng(seed), items, classes), size)
    assert sound(found)
    assert found is None or found.deviations < BEYOND_CHANCE + 1


@given(st.integers(2, 20), st.integers(400, 1000), st.sampled_from([1, 16, 64]), st.integers(0, 10**6))
@example(12, 582, 1, 0)  # of single items, after the first ones, only every eighth is read
@settings(deadline=None, max_examples=40)
def test_sorted_order_is_far_outside(classes, items, size, seed):
    found = judged(np.sort(np.random.default_rng(seed).integers(0, classes, items)), size)
    assert found.deviations > BEYOND_CHANCE + 2
    assert found.uneven > 1.5 * GROUPED


SORTED = {
    "two classes": (np.repeat([0, 1], 100), 16),
    "32 items": (np.repeat([0, 1], 16), 16),
    "one item a batch": (np.repeat([0, 1, 2], 40), 1),
    "batches that span classes": (np.repeat(np.arange(10), 40), 128),
    "few items of many classes": (np.repeat(np.arange(100), 6), 32),
    "rare class at the end": (np.repeat([0, 1], [990, 10]), 16),
    "floats 0 and 1": (np.repeat([0.0, 1.0], 100).reshape(-1, 1), 16),
    "one-hot": (np.eye(4)[np.repeat(np.arange(4), 50)], 16),
    "minus one and one": (np.repeat([-1, 1], 100), 16),
    "numbers": (np.sort(RANDOM.normal(size=300)), 16),
    "numbers one by one": (np.sort(RANDOM.normal(size=300)), 1),
    "prices": (np.sort(np.exp(RANDOM.normal(size=300) + 12)), 16),
    "falling": (np.linspace(1, 0, 200), 16),
    "second of two targets": (np.stack([RANDOM.normal(size=300), np.sort(RANDOM.normal(size=300))], 1), 16),
    "with an outlier and a hole": (np.r_[np.nan, np.linspace(0, 1, 200), 1e30], 16),
    "one class a batch, in random order": (np.repeat(RANDOM.integers(0, 4, 60), 16), 16),
    "slowly drifting mixture": (RANDOM.random(800) < np.linspace(0, 1, 800), 16),
    "runs within a larger mix": (np.repeat(RANDOM.permutation(np.repeat(np.arange(4), 10)), 20), 4),
}


@pytest.mark.parametrize("case", SORTED)
def test_what_is_sorted_is_found(case):
    found = judged(*SORTED[case])
    assert found.real
    assert found.uneven >= GROUPED


def p_by_k(classes, p, k, batches):
    return np.concatenate([np.repeat(RANDOM.choice(classes, p, replace=False), k) for _ in range(batches)])


SOUND = {
    "ordered within each batch": (np.tile(np.repeat([0, 1], 8), 40), 16),
    "alternating, one item a batch": (np.tile([0, 1], 200), 1),
    "eight classes of four": (p_by_k(100, 8, 4, 100), 32),
    "sixteen classes of four": (p_by_k(200, 16, 4, 60), 64),
    "one outlier": (np.r_[RANDOM.normal(size=200), 1e9], 1),
    "too few to tell": (np.repeat([0, 1], 9), 2),
    "item numbers": (RANDOM.permutation(300), 16),
    "one batch": (np.repeat([0, 1], 100), 200),
    "all alike": (np.zeros(200), 16),
}


@pytest.mark.parametrize("case", SOUND)
def test_what_is_mixed_is_not_taken_as_sorted(case):
    assert sound(judged(*SOUND[case]))


def test_batches_that_are_balanced_on_purpose_differ_less_than_chance():
    assert judged(np.tile(np.repeat([0, 1], 8), 40)).deviations < 0


def test_mean_and_variance_are_those_of_random_order():
    labels = RANDOM.integers(0, 5, 120)
    deviations = [judged(RANDOM.permutation(labels), 8).deviations for _ in range(300)]
    # The largest of five scales, so the mean lies above that of one.
    assert 0.3 < np.mean(deviations) < 1.5
    assert 0.4 < np.std(deviations) < 1.2


def test_blocks_are_sums_over_batches_in_a_row():
    counts = RANDOM.integers(0, 9, size=(13, 3)).astype(float)
    sums = BlockSums()
    for row in counts:
        sums.add(row, int(row.sum()) + 1)
    items = counts.sum(1) + 1
    for blocks in sums.blocks():
        starts = np.arange(0, 13, blocks.batches)
        expected = np.add.reduceat(counts, starts)
        sizes = np.add.reduceat(items, starts)
        assert blocks.blocks == len(starts)
        assert blocks.inverse == pytest.approx((1 / sizes).sum())
        assert blocks.squares == pytest.approx((expected**2 / sizes[:, None]).sum(0))
    assert [blocks.batches for blocks in sums.blocks()] == [1, 2, 4, 8]
