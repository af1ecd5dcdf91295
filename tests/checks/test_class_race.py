"""When the blame is put on how often a class comes."""

import pytest
import torch

from nn_inspector.checks.data.class_answers import ClassAnswers
from nn_inspector.checks.data.class_race import Rare, RareRace

RIGHT = torch.tensor([0] * 90 + [1] * 10)


def answers(found, *, of_others=90):
    """So many of the rare class are found, and so many of the others."""
    return ClassAnswers(
        torch.tensor([0] * of_others + [1] * (90 - of_others) + [1] * found + [0] * (10 - found)), RIGHT
    )


@pytest.mark.parametrize(
    ("without", "treated", "helped"),
    [
        (answers(0), answers(4), True),
        (answers(0), answers(3), False),
        (answers(4), answers(8), False),
        (answers(0), answers(5, of_others=45), False),  # as chance would
    ],
)
def test_a_remedy_has_to_find_enough_without_guessing(without, treated, helped):
    asked = Rare([1], answers(0), lambda copied, judges: without, [], lambda one: one.average, 0.15)
    assert RareRace(asked, [answers(0), without], [answers(0), treated], 10).helped is helped
