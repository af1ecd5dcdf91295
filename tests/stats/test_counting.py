import pytest
import torch

from nn_inspector.stats import count_in_rows


@pytest.mark.parametrize("bins", [1, 3, 100])
def test_counts_are_those_of_bincount(bins):
    numbers = torch.randint(0, bins, (4, 50), generator=torch.Generator().manual_seed(0))
    expected = torch.stack([row.bincount(minlength=bins) for row in numbers]).float()
    assert torch.equal(count_in_rows(numbers, bins), expected)


def test_each_counts_as_many_as_it_weighs():
    numbers, weights = torch.tensor([[1, 1, 0]]), torch.tensor([[2.0, 0.0, 3.0]])
    assert count_in_rows(numbers, 3, weights).tolist() == [[3.0, 2.0, 0.0]]


def test_no_numbers_are_counted_as_none():
    assert count_in_rows(torch.zeros(2, 0, dtype=torch.int64), 2).tolist() == [[0.0, 0.0], [0.0, 0.0]]
