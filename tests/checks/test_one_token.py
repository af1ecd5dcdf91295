"""Texts of words that are not in the vocabulary: nearly all of their tokens are the same."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from tests.trainings import CLASSES, classifier_of


def texts(unknown):
    """Five words of twenty and padding; so large a share is not known."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(2, 20, (96, 8), generator=generator)
    labels = tokens[:, 0] % CLASSES
    tokens[torch.rand(96, 8, generator=generator) < unknown] = 1
    tokens[:, 6:] = 0
    return TensorDataset(tokens, labels)


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.last = nn.Embedding(20, 8, padding_idx=0), nn.Linear(8, CLASSES)

    def forward(self, tokens):
        return self.last(self.embedding(tokens).mean(1))


def test_texts_of_words_that_are_not_known_are_an_error(watched):
    finding = watched(classifier_of(Words(), texts(0.95)), lambda c: c.run(3)).check("zero_input")
    assert finding.severity == "error", finding.message
    assert "of the tokens are the same one, 1, of 20 that there could be" in finding.message
    assert 0.9 < finding.evidence["share"] < 1


def test_a_vocabulary_of_another_form_than_the_texts_is_a_warning(watched):
    """Names that it holds with a capital are looked up without: half of it never occurs."""
    data = texts(0.0)
    tokens = data.tensors[0]
    tokens[:, :3][tokens[:, :3] > 8] = 1
    tokens[:, 3:6][tokens[:, 3:6] > 8] -= 10
    tokens[:, 3:6].clamp_(min=2)
    finding = watched(classifier_of(Words(), data), lambda c: c.run(3)).check("zero_input")
    assert finding.severity == "warning", finding.message
    assert "of those never occur" in finding.message
    assert "in another form" in finding.message


@pytest.mark.parametrize("unknown", [0.0, 0.5])
def test_texts_with_some_words_that_are_not_known_pass(watched, unknown):
    finding = watched(classifier_of(Words(), texts(unknown)), lambda c: c.run(3)).check("zero_input")
    assert finding.severity == "ok", finding.message
