import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nn_inspector.checks.fit.padded_end import padded_end


@given(st.integers(1, 6), st.integers(4, 30), st.data())
def test_padding_is_counted_from_the_end(items, places, data):
    padding = data.draw(st.integers(0, places - 1))
    tokens = torch.ones(items, places, dtype=torch.long)
    tokens[:, places - padding :] = 0
    tokens[0, places - padding - 1] = 5  # so that no other run of alike places goes on from there
    found = padded_end([torch.rand(items), tokens])
    if padding * 4 < places and not (padding == 0 and items == 1 and places == 1):
        assert found is None or found.padding < 2
    else:
        assert (found.length, found.padding) == (places, padding)


def test_it_is_cut_from_sequences_alone():
    end = padded_end([torch.tensor([[[1.0, 2.0], [0.0, 0.0]], [[3.0, 4.0], [0.0, 0.0]]])])
    assert (end.length, end.padding) == (2, 1)
    assert end.cut(torch.ones(3, 2, 5)).shape == (3, 1, 5)
    assert end.cut(torch.ones(3, 7)).shape == (3, 7)
    assert end.cut(torch.ones(3)).shape == (3,)


@pytest.mark.parametrize("given", [[], [torch.zeros(4)], [torch.zeros(4, 9)], [torch.zeros(0, 9)]])
def test_what_holds_no_sequences_has_none(given):
    assert padded_end(given) is None
