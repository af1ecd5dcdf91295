"""How a prediction was made, read from its graph."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nn_inspector.probes.origin import node_number, origin
from tests.trainings import FEATURES, mlp

X = torch.randn(4, FEATURES, generator=torch.Generator().manual_seed(0))
SEQUENCE = X.reshape(4, 4, 2)
IMAGE = X.reshape(4, 1, 4, 2)
LINEAR = nn.Linear(FEATURES, 3)


def bfloat16(make):
    def within():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return make()

    return within


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


def by_hand():
    weight, bias = nn.Parameter(torch.ones(FEATURES, 3)), nn.Parameter(torch.zeros(3))
    return X @ weight + bias


MADE = {
    # modules
    "linear": (lambda: LINEAR(X), ["linear"]),
    "linear over a sequence": (lambda: nn.Linear(2, 3)(SEQUENCE), ["linear"]),
    "linear without bias": (lambda: nn.Linear(2, 3, bias=False)(SEQUENCE), ["linear"]),
    "mlp": (lambda: mlp()(X), ["linear"]),
    "softmax module": (lambda: nn.Softmax(dim=1)(LINEAR(X)), ["softmax:1", "linear"]),
    "softmax over the batch": (lambda: nn.Softmax(dim=0)(LINEAR(X)), ["softmax:0", "linear"]),
    "softmax from behind": (lambda: nn.Softmax(dim=-1)(LINEAR(X)), ["softmax:1", "linear"]),
    "softmax of a sequence": (lambda: nn.Softmax(-1)(nn.Linear(2, 3)(SEQUENCE)), ["softmax:2", "linear"]),
    "log softmax module": (lambda: nn.LogSoftmax(dim=1)(LINEAR(X)), ["log_softmax:1", "linear"]),
    "sigmoid module": (lambda: nn.Sigmoid()(LINEAR(X)), ["sigmoid", "linear"]),
    "tanh module": (lambda: nn.Tanh()(LINEAR(X)), ["tanh", "linear"]),
    "batch norm": (lambda: nn.BatchNorm1d(3)(LINEAR(X)), ["norm", "linear"]),
    "layer norm": (lambda: nn.LayerNorm(3)(LINEAR(X)), ["norm", "linear"]),
    "group norm": (lambda: nn.GroupNorm(1, 3)(LINEAR(X)), ["norm", "linear"]),
    "convolution": (lambda: nn.Conv2d(1, 2, 2)(IMAGE).flatten(1), ["conv"]),
    "convolution of a signal": (lambda: nn.Conv1d(4, 2, 2)(SEQUENCE), ["conv"]),
    "transposed convolution": (lambda: nn.ConvTranspose2d(1, 2, 2)(IMAGE), ["conv"]),
    "pooled convolution": (lambda: nn.MaxPool2d(2)(nn.ReLU()(nn.Conv2d(1, 2, 1)(IMAGE))), ["max_pool", "relu", "conv"]),
    "global average": (lambda: nn.Conv2d(1, 2, 1)(IMAGE).mean((2, 3)), ["mean", "conv"]),
    "lstm": (lambda: nn.LSTM(2, 3, batch_first=True)(SEQUENCE)[0][:, -1], ["lstm"]),
    "attention": (lambda: nn.MultiheadAttention(2, 1, batch_first=True)(SEQUENCE, SEQUENCE, SEQUENCE)[0], ["linear"]),
    "embedding": (lambda: nn.Embedding(5, 3)(torch.tensor([0, 1])), ["embedding"]),
    "bilinear": (lambda: nn.Bilinear(FEATURES, FEATURES, 2)(X, X), ["linear"]),
    # functions
    "softmax function": (lambda: F.softmax(LINEAR(X), -1), ["softmax:1", "linear"]),
    "softmax method": (lambda: LINEAR(X).softmax(0), ["softmax:0", "linear"]),
    "log softmax function": (lambda: F.log_softmax(LINEAR(X), 1), ["log_softmax:1", "linear"]),
    "log of a softmax": (lambda: torch.log(F.softmax(LINEAR(X), 1)), ["log", "softmax:1", "linear"]),
    "softmax twice": (lambda: LINEAR(X).softmax(1).softmax(1), ["softmax:1", "softmax:1", "linear"]),
    "sigmoid function": (lambda: torch.sigmoid(LINEAR(X)), ["sigmoid", "linear"]),
    "sigmoid in place": (lambda: LINEAR(X).sigmoid_(), ["sigmoid", "linear"]),
    "relu": (lambda: F.relu(LINEAR(X)), ["relu", "linear"]),
    "leaky relu": (lambda: F.leaky_relu(LINEAR(X)), ["leaky_relu", "linear"]),
    "elu": (lambda: F.elu(LINEAR(X)), ["elu", "linear"]),
    "gelu": (lambda: F.gelu(LINEAR(X)), ["gelu", "linear"]),
    "softplus": (lambda: F.softplus(LINEAR(X)), ["softplus", "linear"]),
    "exp": (lambda: LINEAR(X).exp(), ["exp", "linear"]),
    "clamp": (lambda: LINEAR(X).clamp(0, 1), ["clamp", "linear"]),
    "clamp below": (lambda: LINEAR(X).clamp(min=1e-7).log(), ["log", "clamp", "linear"]),
    "matrix product by hand": (by_hand, ["linear"]),
    "einsum": (lambda: torch.einsum("bi,oi->bo", X, LINEAR.weight), ["linear"]),
    "times a number": (lambda: 2 * LINEAR(X), ["mul", "linear"]),
    "times a parameter": (lambda: nn.Parameter(torch.ones(())) * LINEAR(X), ["mul", "linear"]),
    "shifted and divided": (lambda: (LINEAR(X) - 1) / 3, ["div", "sub", "linear"]),
    "residual": (lambda: LINEAR(X) + LINEAR(X).relu(), ["add", "linear"]),
    "scaled sigmoid": (lambda: 10 * torch.sigmoid(LINEAR(X)), ["mul", "sigmoid", "linear"]),
    "a function of the user's": (lambda: Twice.apply(LINEAR(X)), ["twice", "linear"]),
    # shapes and casts between
    "squeezed": (lambda: nn.Linear(FEATURES, 1)(X).squeeze(-1), ["linear"]),
    "squeezed sigmoid": (lambda: torch.sigmoid(nn.Linear(FEATURES, 1)(X)).squeeze(), ["sigmoid", "linear"]),
    "viewed softmax": (lambda: LINEAR(X).softmax(-1).view(2, 2, 3).transpose(0, 1), ["softmax:1", "linear"]),
    "unsqueezed and back": (lambda: LINEAR(X).unsqueeze(0).softmax(-1)[0], ["softmax:2", "linear"]),
    "permuted": (lambda: nn.Linear(2, 3)(SEQUENCE).permute(0, 2, 1).contiguous(), ["linear"]),
    "selected": (lambda: LINEAR(X)[:, 1], ["linear"]),
    "indexed": (lambda: LINEAR(X)[torch.arange(4), torch.tensor([0, 1, 2, 0])], ["linear"]),
    "gathered": (lambda: LINEAR(X).log_softmax(1).gather(1, torch.zeros(4, 1).long()), ["log_softmax:1", "linear"]),
    "cloned and cast": (lambda: LINEAR(X).clone().double(), ["linear"]),
    "expanded": (lambda: LINEAR(X).expand(2, 4, 3), ["linear"]),
    "bfloat16": (bfloat16(lambda: LINEAR(X)), ["linear"]),
    "bfloat16 softmax": (bfloat16(lambda: F.softmax(LINEAR(X), 1).float()), ["softmax:1", "linear"]),
    "bfloat16 sequence": (bfloat16(lambda: nn.Linear(2, 3)(SEQUENCE).squeeze()), ["linear"]),
    # nothing to read
    "no graph": (lambda: torch.zeros(3), []),
    "detached": (lambda: LINEAR(X).detach(), []),
    "a parameter": (lambda: nn.Parameter(torch.zeros(3)), []),
    "very long": (lambda: _many_times(LINEAR(X), 20), ["tanh"] * 8),
}


def _many_times(x, times):
    for _ in range(times):
        x = x.tanh()
    return x


@pytest.mark.parametrize("name", MADE)
def test_how_it_was_made(name):
    make, names = MADE[name]
    assert origin(make()) == names


def test_in_evaluation_it_is_the_same_with_gradients():
    model = nn.Sequential(nn.Linear(FEATURES, 3), nn.Dropout(), nn.Softmax(1)).eval()
    assert origin(model(X)) == ["softmax:1", "linear"]
    with torch.no_grad():
        assert origin(model(X)) == []


def test_a_compiled_graph_tells_nothing():
    torch._dynamo.reset()
    model = torch.compile(nn.Sequential(nn.Linear(FEATURES, 3), nn.Softmax(1)), backend="aot_eager")
    assert origin(model(X)) == []
    assert origin(F.softmax(model(X), 1)) == ["softmax:1"]


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda loss: loss, ["cross_entropy"]),
        (lambda loss: -loss, ["neg", "cross_entropy"]),
        (lambda loss: 3 * loss / 4 + 1, ["add", "div", "mul", "cross_entropy"]),
        (lambda loss: loss.mean(), ["mean", "cross_entropy"]),
    ],
)
def test_a_known_node_has_its_own_name(make, names):
    loss = F.cross_entropy(LINEAR(X), torch.zeros(4).long(), label_smoothing=0.1)
    assert origin(make(loss), {node_number(loss.grad_fn): "cross_entropy"}) == names


@pytest.mark.parametrize(
    ("loss", "names"),
    [
        (lambda p: F.cross_entropy(p, torch.zeros(4).long()), ["nll", "log_softmax:1", "linear"]),
        (lambda p: F.mse_loss(p, torch.zeros(4, 3)), ["mse", "linear"]),
        (lambda p: ((p - 1) ** 2).mean(), ["mean", "pow", "sub", "linear"]),
        (lambda p: -p.log_softmax(1)[:, 0].sum(), ["neg", "sum", "log_softmax:1", "linear"]),
        (lambda p: F.binary_cross_entropy_with_logits(p, torch.ones(4, 3)), ["bce_with_logits", "linear"]),
        (lambda p: F.binary_cross_entropy(p.sigmoid(), torch.ones(4, 3)), ["bce", "sigmoid", "linear"]),
        (lambda p: F.l1_loss(p, torch.ones(4, 3)), ["mean", "abs", "sub", "linear"]),
    ],
)
def test_losses_by_their_graph(loss, names):
    assert origin(loss(LINEAR(X))) == names
