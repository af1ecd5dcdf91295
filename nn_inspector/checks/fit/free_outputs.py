"""The loss alone: the last layer's outputs are made free numbers, and the loss is minimized over them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nn_inspector.checks.answers import Answers, of_call, of_output
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Anatomy, TrainingCopy, preserved_random_state, tensors_of
from nn_inspector.probes import CallMode, LossCall, first_tensor

FEWEST_STEPS = 60
"""With fewer, because time ran out, nothing is said."""

_FAR = 10.0
_SIGNS = ((1.0,), (-1.0,), (1.0, -1.0))
_STEPS = 250
_RATE = 0.1
_REACH = 60
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Bilinear)
_OTHERS = ("poisson_nll_loss", "gaussian_nll_loss")


_SAME = 1e-4
_FEWEST_PLACES = 3
"""Of fewer columns or items there are too few ways to change places."""


@dataclass(frozen=True, slots=True)
class FreeOutputs:
    """What came of it.

    Attributes:
        layer: whose outputs were made free.
        losses: before the first step and after each.
        moved: largest gradient on them at the first step.
        wrong: what is wrong about the answers at the first outputs and at the last ones, see `wrong_share`; None where
            it is not known what is right.
        drawn: whether the loop draws random numbers that change the loss of one and the same output.
        asked: share of the outputs that the loss depends on: a mask may leave some out.
        compares: whether the loss compares items with each other, as a loss for embeddings does: it matters which item is which,
            and not which column.
        judged: share of what the loss judges that depends on the outputs: the rest comes from other layers.
        slope: whether the loss has a gradient at the first outputs, or at some that are far from them.
        asked_elsewhere: share of the outputs that the loss depends on there or at those that are far from them.
    """

    layer: str
    losses: Sequence[float]
    moved: float
    wrong: tuple[float, float] | None
    drawn: bool
    asked: float = 1.0
    compares: bool = False
    judged: float = 1.0
    slope: bool = True
    asked_elsewhere: float = 1.0

    @property
    def fell(self) -> bool:
        """Whether the loss came down."""
        return self.losses[-1] < self.losses[0] - 1e-6 * max(abs(self.losses[0]), 1e-6)


def last_layer(seen: Anatomy) -> str:
    """The name of the last layer with weights that ran, and ran once.

    Raises:
        ExperimentError: there is none.
    """
    layers = [run.name for run in seen.leaves if isinstance(run.module, _LAYERS)]
    if not layers or layers.count(layers[-1]) > 1:
        raise ExperimentError("There is no last layer that is used once, so the loss cannot be looked at alone.")
    return layers[-1]


def minimize(copied: TrainingCopy, layer: str, batch: Any, *, seconds: float) -> FreeOutputs:
    """Minimize the loss of a batch over the outputs of a layer.

    Raises:
        ExperimentError: the loss cannot be computed, or time was too short.
    """
    copied.model.eval()
    deadline = time.monotonic() + seconds
    with _free(copied, layer, batch) as outputs:
        copied.same_noise = False
        with torch.no_grad():
            drawn = float(_loss(copied, batch)) != float(_loss(copied, batch, seed=1))
        copied.same_noise = True
        before, right = _answers(copied, batch)
        far = float((right - outputs.detach().mean()).abs().max()) if right is not None else 0.0
        far = max(far, float(outputs.detach().abs().max()))  # they may have to come back from far away
        optimizer = torch.optim.Adam([outputs], lr=max(_RATE, far / _REACH if math.isfinite(far) else 0.0))
        losses: list[float] = []
        moved = 0.0
        asked = torch.zeros_like(outputs, dtype=torch.bool)
        for step in range(_STEPS + 1):
            loss = _loss(copied, batch)
            losses.append(float(loss.detach()))
            if step == _STEPS or time.monotonic() > deadline or not math.isfinite(losses[-1]):
                break
            outputs.grad = None
            if loss.requires_grad:
                loss.backward()
            if outputs.grad is None:
                break
            if step == 0:
                moved = float(outputs.grad.abs().max())
            asked |= outputs.grad != 0
            optimizer.step()
        if moved and len(losses) <= FEWEST_STEPS and math.isfinite(losses[-1]):
            raise ExperimentError("There was no time to minimize the loss.")
        after, _ = _answers(copied, batch)
        elsewhere = _asked_elsewhere(copied, batch, outputs)
        compares, judged = _compares(copied, batch, outputs), _judged(copied, batch, outputs)
    wrong = (before, after) if before is not None and after is not None else None
    slope = moved > 0 or bool(elsewhere.any())
    shares = [float(one.float().mean()) for one in (asked, asked | elsewhere)]
    return FreeOutputs(layer, losses, moved, wrong, drawn, shares[0], compares, judged, slope, shares[1])


def _asked_elsewhere(copied: TrainingCopy, batch: Any, outputs: torch.Tensor) -> torch.Tensor:
    """Which outputs the loss has a gradient for at some other size, which each item has its own of, and at other signs."""
    before, found = outputs.detach().clone(), torch.zeros_like(outputs, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    most = math.log10(float(_FAR * (1 + before.abs().mean())))
    for signs in _SIGNS:
        of_item = torch.rand((len(outputs), *[1] * (outputs.dim() - 1)), generator=generator)
        sizes = 10 ** (of_item * (most + 1) - 1) * (0.5 + torch.rand(outputs.shape, generator=generator))
        chosen = torch.randint(len(signs), outputs.shape, generator=generator)
        with torch.no_grad():
            outputs.copy_(sizes * torch.tensor(signs)[chosen])
        outputs.grad = None
        loss = _loss(copied, batch)
        if loss.requires_grad:
            loss.backward()
        found |= outputs.grad != 0 if outputs.grad is not None else False
    with torch.no_grad():
        outputs.copy_(before)
    return found


@torch.no_grad()
def _judged(copied: TrainingCopy, batch: Any, outputs: torch.Tensor) -> float:
    """The share of the predictions that change with the outputs."""
    before, seen = outputs.clone(), []
    drawn = torch.rand(outputs.shape, generator=torch.Generator().manual_seed(0)).to(outputs)
    for values in (before, before + (1 + before.abs()) * (0.5 + drawn)):
        outputs.copy_(values)
        calls: list[LossCall] = []
        with CallMode(calls.append):
            _loss(copied, batch)
        seen.append([call.prediction.clone() for call in calls])
    outputs.copy_(before)
    pairs = [(one, other) for one, other in zip(*seen, strict=False) if one.shape == other.shape]
    changed = [(one != other).flatten() for one, other in pairs]
    return float(torch.cat(changed).float().mean()) if changed else 1.0


@torch.no_grad()
def _compares(copied: TrainingCopy, batch: Any, outputs: torch.Tensor) -> bool:
    """Whether the loss of random outputs [items, columns] stays the same as columns change places, and not as items do."""
    if outputs.dim() != 2 or min(outputs.shape) < _FEWEST_PLACES:
        return False
    drawn = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(0)).to(outputs)
    found = []
    for values in (drawn, drawn.roll(1, 1), drawn.roll(1, 0)):
        outputs.copy_(values)
        found.append(float(_loss(copied, batch)))
    slack = _SAME * max(abs(found[0]), _SAME)
    return abs(found[1] - found[0]) <= slack < abs(found[2] - found[0])


def _loss(copied: TrainingCopy, batch: Any, *, seed: int = 0) -> torch.Tensor:
    """The loss, with the same random numbers each time: a loop that adds noise may ask for that noise."""
    with preserved_random_state(seed):
        return copied.loss(batch)


@contextmanager
def _free(copied: TrainingCopy, layer: str, batch: Any) -> Iterator[torch.Tensor]:
    """Within, the layer returns the same numbers whatever it is given; they begin as what it gives for the batch."""
    module, first = copied.model.get_submodule(layer), []
    handle = module.register_forward_hook(lambda _module, _args, output: first.append(output.detach().clone()))
    with torch.no_grad():
        _loss(copied, batch)
    handle.remove()
    outputs = first[0].requires_grad_()
    handle = module.register_forward_hook(lambda _module, _args, _output: outputs)
    try:
        yield outputs
    finally:
        handle.remove()


def _answers(copied: TrainingCopy, batch: Any) -> tuple[float | None, torch.Tensor | None]:
    """How wrong the answers are, and what is right where numbers are asked."""
    calls: list[LossCall] = []
    given: list[Any] = []
    taken: list[list[torch.Tensor]] = []

    def note(_: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        given.append(output)
        taken.append(list(tensors_of([args, kwargs])))

    handle = copied.model.register_forward_hook(note, with_kwargs=True)
    try:
        with torch.no_grad(), CallMode(calls.append):
            _loss(copied, batch)
    finally:
        handle.remove()
    found = None
    if len(calls) == 1 and calls[0].name not in _OTHERS:
        found = of_call(calls[0])
        if found is not None and found.kind == "numbers" and calls[0].name.startswith("binary"):
            found = None
    elif not calls and given:
        found = of_output(first_tensor(given[-1]), batch, taken[-1])
    if found is None:
        return None, None
    return wrong_share(found), found.right if found.kind == "numbers" else None


def wrong_share(found: Answers) -> float | None:
    """0 for right answers, 1 for what chance gives: of numbers by their order only, for a loss may scale them.

    Example:
        >>> wrong_share(Answers("numbers", torch.tensor([[1.0], [20.0], [300.0]]), torch.tensor([[1.0], [2.0], [3.0]])))
        0.0
    """
    if found.kind != "numbers":
        return found.unlearned
    if not bool(torch.isfinite(found.given).all()):
        return math.inf
    shares = []
    for given, right in zip(found.given.T, found.right.T, strict=True):
        if len(right.unique()) < 2:
            continue
        places = torch.stack([_places(given), _places(right)])
        together = float(torch.corrcoef(places)[0, 1]) if float(given.std()) > 1e-6 * float(right.std()) else 0.0
        shares.append(1 - together)
    return sum(shares) / len(shares) if shares else None


def _places(values: torch.Tensor) -> torch.Tensor:
    """The rank of each value; ties share theirs."""
    _, level, counts = values.unique(return_inverse=True, return_counts=True)
    places: torch.Tensor = (counts.cumsum(0).double() - (counts - 1) / 2)[level]
    return places
