"""What is trained: four small networks on random data, each of another kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

CLASSES = 10
BATCHES = 32
"""So many different batches; few enough to be held, enough that none is learnt by heart in a short run."""

VOCABULARY = 2000


@dataclass(frozen=True, slots=True)
class Problem:
    """A network and the inputs of one batch.

    Attributes:
        name: as the options and the JSON file call it.
        title: as the table calls it.
        network: makes the network.
        inputs: makes the inputs of one batch, `[batch, ...]`.
    """

    name: str
    title: str
    network: Callable[[], nn.Module]
    inputs: Callable[[torch.Generator], torch.Tensor]

    def batches(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Inputs and classes, the same ones at each call."""
        generator = torch.Generator().manual_seed(1)
        inputs = [self.inputs(generator) for _ in range(BATCHES)]
        return [(x, torch.randint(0, CLASSES, (len(x),), generator=generator)) for x in inputs]


class Residual(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            *convolution(channels, channels), nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        )
        self.activation = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.activation(x + self.inner(x))
        return output


class SequenceClassifier(nn.Module):
    """Embedding, a body `[batch, time, features] -> [batch, time, features]` or an LSTM, and a linear layer."""

    def __init__(self, body: nn.Module, features: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, features)
        self.body = body
        self.head = nn.Linear(features, CLASSES)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        outputs = self.body(self.embedding(tokens))
        states = outputs[0] if isinstance(outputs, tuple) else outputs
        logits: torch.Tensor = self.head(states.mean(dim=1))
        return logits


def convolution(before: int, after: int, *, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, stride=stride, padding=1), nn.BatchNorm2d(after), nn.ReLU()]


def mlp() -> nn.Module:
    hidden = [nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(256, CLASSES))


def resnet() -> nn.Module:
    stages = [
        *(*convolution(3, 16), Residual(16)),
        *(*convolution(16, 32, stride=2), Residual(32)),
        *(*convolution(32, 64, stride=2), Residual(64)),
    ]
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES))


def lstm() -> nn.Module:
    return SequenceClassifier(nn.LSTM(128, 128, num_layers=2, batch_first=True), 128)


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(128, nhead=4, dim_feedforward=512, batch_first=True, norm_first=True)
    return SequenceClassifier(nn.TransformerEncoder(layer, num_layers=4, enable_nested_tensor=False), 128)


def numbers(*shape: int) -> Callable[[torch.Generator], torch.Tensor]:
    return lambda generator: torch.randn(*shape, generator=generator)


def tokens(*shape: int) -> Callable[[torch.Generator], torch.Tensor]:
    return lambda generator: torch.randint(0, VOCABULARY, shape, generator=generator)


PROBLEMS: Mapping[str, Problem] = {
    problem.name: problem
    for problem in (
        Problem("mlp", "MLP, batches of 32 x 784", mlp, numbers(32, 784)),
        Problem("resnet", "ResNet with 9 convolutions, batches of 24 x 3 x 32 x 32", resnet, numbers(24, 3, 32, 32)),
        Problem("lstm", "LSTM with 2 layers, batches of 32 x 64 tokens", lstm, tokens(32, 64)),
        Problem("transformer", "Transformer with 4 layers, batches of 8 x 48 tokens", transformer, tokens(8, 48)),
    )
}
