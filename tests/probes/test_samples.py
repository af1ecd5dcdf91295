"""The matrix that samples are collected in is used again and again."""

import numpy as np
import pytest
import torch

from nn_inspector.probes import Schedule
from nn_inspector.probes.distributions import put_distributions
from nn_inspector.probes.measurement import one_by_one
from nn_inspector.probes.recorder import Recorder
from nn_inspector.probes.samples import SAMPLE, Samples
from nn_inspector.stats import Summary, pack_sums, summarize, summarize_rows, unpack_sums

CPU = torch.device("cpu")


def described(samples):
    taken = samples.take()
    return [unpack_sums(row) for row in pack_sums(taken.description().double().numpy())]


def assert_alike(found: Summary, tensor: torch.Tensor) -> None:
    expected = summarize(tensor)
    assert (found.count, found.nan, found.inf, found.zeros) == (
        expected.count,
        expected.nan,
        expected.inf,
        expected.zeros,
    )
    assert (found.mean, found.spread) == pytest.approx((expected.mean, expected.spread), rel=1e-5, nan_ok=True)
    assert found.histogram.tolist() == expected.histogram.tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_was_longer_before_leaves_no_trace(dtype):
    samples = Samples(CPU, 1, dtype)
    for length in (SAMPLE, 3, 500, 1, SAMPLE):
        values = (
            torch.full((length,), torch.nan, dtype=dtype) if length == SAMPLE else torch.randn(length, dtype=dtype) - 9
        )
        samples.add("layer", values)
        (found,) = described(samples)
        assert_alike(found, values)


def test_what_is_forgotten_leaves_no_trace():
    samples = Samples(CPU, 4)
    kept = [torch.randn(5) + 7, torch.randn(300) - 7]
    for tensor in (torch.full((SAMPLE,), torch.inf), torch.full((20,), torch.nan)):
        samples.add("gone", tensor)
    samples.mark()
    for tensor in kept:
        samples.add("kept", tensor)
    samples.forget()
    samples.add("late", torch.ones(2))
    for found, tensor in zip(described(samples), [*kept, torch.ones(2)], strict=True):
        assert_alike(found, tensor)


def test_more_rows_than_were_expected():
    samples, tensors = Samples(CPU, 1), [torch.randn(number) for number in range(1, 9)]
    for tensor in tensors:
        samples.add("layer", tensor)
    for found, tensor in zip(described(samples), tensors, strict=True):
        assert_alike(found, tensor)


def test_sums_of_either_description_are_the_same():
    samples = Samples(CPU, 3)
    rows = torch.cat([torch.randn(2, SAMPLE) * torch.tensor([[1e-30], [1e20]]), torch.zeros(1, SAMPLE)])
    rows[0, 0], rows[1, 1], rows[1, 2] = torch.nan, -torch.inf, 2.0**-60
    for row in rows:
        samples.add("layer", row)
    summaries = summarize_rows(rows, torch.full((3,), SAMPLE))
    packed = pack_sums(samples.take().description().numpy(), np.array([1.0, 2.0, 3.0]))
    assert packed[:, :-1].tolist() == pack_sums(summaries.numpy()).tolist()
    assert packed[:, -1].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("stored", [0, 3, 5000])
@pytest.mark.parametrize("at_once", [False, True])
def test_a_sparse_tensor_is_described_as_a_whole(stored, at_once):
    """As the gradient of an embedding is: what is not stored are zeros."""
    table = torch.zeros(80, 100)
    table.view(-1)[:stored] = 2.0
    samples, brought = Samples(CPU, 1), []
    samples.add_all(["table"], [table.to_sparse()]) if at_once else samples.add("table", table.to_sparse())
    recorder = Recorder(Schedule(every=1), brought.extend, lambda entry: None)
    put_distributions(recorder, "gradient", ("mean", "spread", "zeros", "norm"), samples.take())
    recorder.flush()
    found = {one.quantity.removeprefix("gradient_"): one.value for one in one_by_one(brought)}
    spread = table.std(correction=0).item()
    assert found == pytest.approx(
        {"mean": stored / 4000, "spread": spread, "zeros": 1 - stored / 8000, "norm": 2 * stored**0.5}
    )
