"""Masks of attention the wrong way round: what the network may look at is padding."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from tests.trainings import CLASSES, classifier_of


class Masked(nn.Module):
    """Attention over tokens with a padding mask, and perhaps a token of its own in front."""

    def __init__(self, mask, *, in_front=False):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.last = nn.Embedding(12, 8), nn.Linear(8, CLASSES)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.mask, self.in_front = mask, in_front

    def forward(self, tokens):
        x, mask = self.embedding(tokens), self.mask(tokens)
        if self.in_front:
            x = torch.cat([x[:, :1] * 0, x], 1)
            mask = torch.cat([torch.zeros_like(mask[:, :1]), mask], 1)
        return self.last(self.encoder(x, src_key_padding_mask=mask)[:, 0])


def padded():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 12, (96, 6), generator=generator)
    tokens[torch.arange(6) >= torch.randint(3, 6, (96, 1), generator=generator)] = 0
    return TensorDataset(tokens, tokens[:, 0] % CLASSES)


@pytest.mark.parametrize("in_front", [False, True])
def test_a_padding_mask_the_wrong_way_round_is_an_error(watched, in_front):
    model = Masked(lambda tokens: tokens != 0, in_front=in_front)
    finding = watched(classifier_of(model, padded()), lambda c: c.run(2)).check("zero_input")
    assert finding.severity == "error", finding.message
    assert "all that it may look at hold the same token, 0" in finding.message
    assert "mask = tokens == padding" in finding.remedy.code
    assert finding.basis == "structure"


class MaskedByHand(nn.Module):
    """Attention of one's own, from a first token of its own or from all positions to all."""

    def __init__(self, how, left_out):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.qkv, self.last = nn.Embedding(12, 8), nn.Linear(8, 24), nn.Linear(8, CLASSES)
        self.how, self.left_out = how, left_out

    def forward(self, tokens):
        q, k, v = self.qkv(self.embedding(tokens)).chunk(3, -1)
        left_out = self.left_out(tokens)
        if self.how == "torch":
            y = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], attn_mask=~left_out[:, None, None])[
                :, 0
            ]
        elif self.how == "pooling":
            scores = q.mean(-1).masked_fill(left_out, -1e9)
            y = (scores.softmax(1)[..., None] * v).sum(1, keepdim=True)
        else:
            scores = (q @ k.mT).masked_fill(left_out[:, None], -1e9)
            y = scores.softmax(-1) @ v
        return self.last(y[:, 0])


@pytest.mark.parametrize("how", ["torch", "pooling", "all"])
def test_a_mask_of_ones_own_attention_is_held_against_the_tokens_too(watched, how):
    data = padded()
    data.tensors[0][:, -1] = 0
    finding = watched(classifier_of(MaskedByHand(how, lambda tokens: tokens != 0), data), lambda c: c.run(2)).check(
        "zero_input"
    )
    assert finding.severity == "error", finding.message
    assert finding.message.endswith("hold the same token, 0.")
    assert "masked_fill" in finding.remedy.code
    finding = watched(classifier_of(MaskedByHand(how, lambda tokens: tokens == 0), data), lambda c: c.run(2)).check(
        "zero_input"
    )
    assert finding.severity == "ok", finding.message


def test_items_whose_positions_are_all_left_out_say_nothing_of_the_others(watched):
    """With a number instead of -inf all their weights are equal."""
    data = padded()
    data.tensors[0][:, -1] = 0
    data.tensors[0][::3] = 5
    finding = watched(classifier_of(MaskedByHand("all", lambda tokens: tokens != 0), data), lambda c: c.run(2)).check(
        "zero_input"
    )
    assert finding.severity == "error", finding.message


@pytest.mark.parametrize(
    "mask",
    [lambda tokens: tokens == 0, lambda tokens: torch.zeros_like(tokens, dtype=torch.bool), lambda tokens: None],
    ids=["right", "empty", "none"],
)
def test_other_padding_masks_pass(watched, mask):
    finding = watched(classifier_of(Masked(mask), padded()), lambda c: c.run(2)).check("zero_input")
    assert finding.severity == "ok", finding.message
