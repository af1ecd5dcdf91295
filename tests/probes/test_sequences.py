"""What is measured of recurrent layers and of attention, against the same computed item by item."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from tests.probes.closely import closely_watched, trained_closely


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("form", ["batch first", "time first", "no batch", "packed", "short"])
def test_hidden_norms_along_the_sequence(kind, form):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.cell = kind(3, 5, batch_first=form != "time first")

        def forward(self, x):
            self.output = self.cell(x)[0]
            return self.output.data if form == "packed" else self.output

    lengths = [31, 20, 7]
    x = {"no batch": torch.randn(31, 3), "short": torch.randn(4, 2, 3)}.get(form, torch.randn(3, 31, 3))
    given = x.transpose(0, 1) if form == "time first" else x
    if form == "packed":
        given = pack_padded_sequence(x, lengths, batch_first=True)
    run = trained_closely(Net(), given, 0.0, steps=1)
    twin = Net()
    expected = []
    time = 2 if form == "short" else 31
    for place in np.linspace(0, time - 1, 16):
        t, norms = round(place), []
        for item in range(1 if form == "no batch" else len(x)):
            sequence = x if form == "no batch" else x[item]
            if form == "packed" and t >= lengths[item]:
                continue
            norms.append(twin.cell(sequence)[0][t].norm().item())
        expected.append(sum(norms) / len(norms))
    assert run.last_vector("hidden_norm", "cell") == pytest.approx(np.array(expected), rel=1e-4)


def entropy(weights, allowed):
    """Query by query, in plain Python."""
    values = []
    for row, open_keys in zip(
        weights.reshape(-1, weights.shape[-1]), allowed.reshape(-1, allowed.shape[-1]), strict=True
    ):
        keys = int(open_keys.sum())
        if keys > 1:
            values.append(-sum(w * math.log(w) for w in row.tolist() if w > 0) / math.log(keys))
    return sum(values) / len(values)


@pytest.mark.parametrize("mask", ["none", "bool", "causal numbers", "by head", "padding", "both"])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("other_sizes", [False, True])
def test_attention_entropy(mask, batch_first, other_sizes):
    torch.manual_seed(0)
    batch, length, heads = 3, 6, 2
    sizes = {"kdim": 5, "vdim": 7} if other_sizes else {}
    attention = nn.MultiheadAttention(8, heads, dropout=0.5, batch_first=batch_first, **sizes)
    query = 3 * torch.randn(batch, length, 8)
    key, value = (3 * torch.randn(batch, length, 5), torch.randn(batch, length, 7)) if other_sizes else (query, query)
    causal = torch.ones(length, length, dtype=torch.bool).triu(1)
    padding = torch.zeros(batch, length, dtype=torch.bool)
    padding[0, 4:] = True
    options, closed = {}, torch.zeros(batch, heads, length, length, dtype=torch.bool)
    if mask in ("bool", "both"):
        options["attn_mask"], closed = causal, closed | causal
    if mask == "causal numbers":
        options["attn_mask"] = torch.zeros(length, length).masked_fill(causal, -math.inf)
        closed = closed | causal
    if mask == "by head":
        by_head = causal.repeat(batch * heads, 1, 1)
        by_head[0] = False
        options["attn_mask"] = by_head
        closed = by_head.view(batch, heads, length, length)
    if mask in ("padding", "both"):
        options["key_padding_mask"], closed = padding, closed | padding[:, None, None]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention, self.head = attention, nn.Linear(8, 1)

        def forward(self, *inputs):
            return self.head(self.attention(*inputs, **options)[0])

    given = [part if batch_first else part.transpose(0, 1) for part in (query, key, value)]
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    attention.eval()
    _, weights = attention(*given, **options, average_attn_weights=False)
    attention.train()
    with closely_watched(model, optimizer) as inspector:
        model(*given).square().mean().backward()
        optimizer.step()
    assert inspector.problems == []
    found = inspector.run.last("attention_entropy", "attention")
    assert found == pytest.approx(entropy(weights.detach(), ~closed), abs=1e-5)


def test_attention_that_looks_at_one_thing_and_at_everything():
    found = []
    for scale in (0.0, 1e4):
        attention = nn.MultiheadAttention(4, 1, batch_first=True)
        with torch.no_grad():
            attention.in_proj_weight.copy_(torch.eye(4).repeat(3, 1) * scale)
        x = torch.eye(4)[None].repeat(9, 40, 1)[:, :4]
        found.append(trained_closely(_Only(attention), x, 0.0, steps=1).last("attention_entropy", "attention"))
    assert found == pytest.approx([1.0, 0.0], abs=1e-4)


class _Only(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def forward(self, x):
        return self.attention(x, x, x)[0]
