"""An average of the weights that is kept beside the network, is validated in its place, and does not follow it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.checks.loop.reading import Code, code_of, is_users
from nn_inspector.checks.loop.source import codes_of
from nn_inspector.checks.race import FAR_WORSE, LEARNED, UNSEEN, Own, left_now
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import TrainingCopy
from nn_inspector.history.metadata import notebook_cells
from nn_inspector.training import Training

BEHIND = 0.5
"""An average that has gone less than this share of the way of the weights is still made of the first ones."""

_OFTEN = 0.5
"""What is written to in so many of the steps follows the network from step to step, whatever its name."""

_DEEPEST = 2
_AVERAGE = re.compile(r"EMA|Ema|(?<![a-z])ema|[Ss]hadow|[Pp]olyak|SWA|(?<![a-z])swa|[Aa]v(era)?g|[Ss]mooth")
_OTHER = re.compile(r"target|teacher|momentum|best|old|init|prev|exp_avg|frozen|reference", re.IGNORECASE)
_PUT_IN = r"apply|swap|store|restore|copy_to|put|use|average|eval|forward|predict|scope"
_JUDGES = r"val|eval|test|acc|score|metric|predict|load_state_dict|functional_call"

_CALLED = re.compile(r"\b(\w+)\(")
_PLAIN = ("self", "module", "model", "net", "network")
"""Names that do not tell the average from the network."""

State = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Average:
    """An average that fails where the network does not.

    Attributes:
        place: where the user keeps it.
        left: what it has left to learn of the training data, see `Answers.unlearned`.
        network: what the network itself has left.
        way: the share of the way of the network's weights since `watch()` that it has gone; None if that is not known.
        buffers: whether its buffers alone are at fault: with those of the network it does as well.
    """

    place: str
    left: float
    network: float
    way: float | None
    buffers: bool


def failing_average(subject: Subject) -> Average | None:
    """The first average of the weights that the user validates, and that fails on data that the network has learned."""
    training = subject.training
    if subject.seconds <= 0 or not subject.run.steps:
        return None
    found = list(averages_of(training, subject.run.steps))
    if not found:
        return None
    try:
        network = left_now(subject)[1]
        if network is None or network > LEARNED:
            return None
        for place, state in found:
            left = _left_with(subject, state)
            if left is None or (left < UNSEEN and left - network < FAR_WORSE):
                continue
            own = _left_with(subject, {name: one for name, one in state.items() if name in _weights(training)})
            return Average(place, left, network, way_of(training, state), own is not None and own <= LEARNED)
    except ExperimentError:
        return None
    return None


def averages_of(training: Training, steps: int) -> Iterator[tuple[str, State]]:
    """What the loop's code can see that has the shapes of the model's weights, is no part of it, and is an average that is validated."""
    text = _text_of(training)
    known = {one.data_ptr() for one in training.model.parameters()}
    for root, held in _names(training).items():
        for place, state in _states(held, root, training, 0):
            if any(one.data_ptr() in known for one in state.values()) or _OTHER.search(place):
                continue
            written = min((one._version for one in state.values() if not one.is_inference()), default=0)
            if (_AVERAGE.search(place) or written >= _OFTEN * steps) and is_validated(place.split("(")[0], text):
                yield re.sub(r"\(\w+\)", "", place), state


def is_validated(place: str, text: str) -> bool:
    """Whether a source text calls what is kept there, puts it into the model, or hands it to something that judges.

    Example:
        >>> is_validated("ema", "loss = f(ema.module(x), y)"), is_validated("ema", "ema.update(model)")
        (True, False)
    """
    names = [name for name in place.split(".") if name not in _PLAIN] or place.split(".")[:1]
    for name in map(re.escape, names):
        called = rf"\b{name}(\.({'|'.join(_PLAIN)}))*\(\w"
        put_in = rf"\b{name}(\.\w+)*\.({_PUT_IN})\w*\("
        judged = rf"({_JUDGES})\w*\([^()]*\b{name}\b"
        if any(re.search(one, text) for one in (called, put_in, judged)):
            return True
    return False


def way_of(training: Training, state: State) -> float | None:
    """The share of the way from the first weights to those of now that others have gone, along it; None if that is not known."""
    first = training.initial
    if first is None:
        return None
    along = length = 0.0
    for name, now in training.model.named_parameters():
        if name not in first:
            return None
        begun = first[name].to(now.device, torch.float64)
        step = now.detach().double() - begun
        along += float((state[name].detach().double().to(now.device) - begun).flatten() @ step.flatten())
        length += float(step.square().sum())
    return along / length if length > 0 else None


def _names(training: Training) -> dict[str, Any]:
    """What the code of the loop can name, but for what Python and IPython put there."""
    found: dict[str, Any] = {}
    for code in codes_of(training):
        for names in list(getattr(code.names, "maps", [code.names]))[:-1]:
            found |= {name: one for name, one in names.items() if not name.startswith("_") and name not in found}
        if code.owner is not None:
            found |= getattr(code.owner, "__dict__", {})
    return found


def _text_of(training: Training) -> str:
    """All cells of a notebook; else the loop with the functions that it names, or all of the file where it is a method."""
    if not training.loop:
        return "\n".join(notebook_cells())
    codes = codes_of(training)
    texts = [_lines(code) for code in codes]
    named = {
        word: code.names.get(word) for code, text in zip(codes, texts, strict=True) for word in _CALLED.findall(text)
    }
    called = [code_of(one) for one in named.values() if isinstance(one, FunctionType)]
    return "\n".join([*texts, *(_lines(code) for code in called if code is not None)])


def _lines(code: Code) -> str:
    if code.owner is not None or isinstance(code.node, ast.Module):
        return "\n".join(code.lines)
    return "\n".join(code.lines[code.node.lineno - 1 : code.node.end_lineno])


def _states(held: Any, place: str, training: Training, depth: int) -> Iterator[tuple[str, State]]:
    """Weights like those of the model that hang on an object, with the name of its class in the place."""
    if held is training.model or depth > _DEEPEST:
        return
    weights = _weights(training)
    state = _tensors(held, weights)
    if _fits(state, weights):
        yield place, {name: one for name, one in state.items() if isinstance(one, torch.Tensor)}
        return
    for name, part in _parts(held, training).items():
        yield from _states(part, f"{place}.{name}({type(held).__name__})", training, depth + 1)


def _tensors(held: Any, weights: State) -> Mapping[str, Any]:
    """What a module, a dict or a list of tensors holds, by the names of the weights."""
    kind = type(held)
    if issubclass(kind, nn.Module):
        return {**dict(held.named_parameters()), **dict(held.named_buffers())}
    if issubclass(kind, dict):
        return dict(held) if len(held) >= len(weights) else {}
    if issubclass(kind, list | tuple) and len(held) == len(weights):
        return dict(zip(weights, held, strict=True))
    return {}


def _parts(held: Any, training: Training) -> Mapping[str, Any]:
    """What hangs on a module or on an object of a class of the user's."""
    kind = type(held)
    if issubclass(kind, nn.Module):
        return dict(held.named_children())
    if is_users(kind, beside=_home(training)) and not issubclass(kind, type | dict | list | tuple):
        return getattr(held, "__dict__", {})
    return {}


def _weights(training: Training) -> dict[str, torch.Tensor]:
    return dict(training.model.named_parameters())


def _fits(state: Mapping[Any, Any], weights: State) -> bool:
    """Whether these are dense tensors with the names and shapes of the weights."""
    if not weights or len(state) < len(weights):
        return False
    held = [(state.get(name), one) for name, one in weights.items()]
    return all(isinstance(one, torch.Tensor) and one.shape == like.shape for one, like in held)


def _home(training: Training) -> str:
    owner: Any = training.loop[0] if training.loop else type(training.model)
    return str(getattr(owner, "__module__", "__main__"))


def _left_with(subject: Subject, state: State) -> float | None:
    """What the network has left with other weights; the rest of its state stays its own."""

    @torch.no_grad()
    def put(copied: TrainingCopy) -> None:
        for name, tensor in [*copied.model.named_parameters(), *copied.model.named_buffers()]:
            other = state.get(name)
            if isinstance(other, torch.Tensor) and other.shape == tensor.shape:
                tensor.copy_(other)

    return left_now(subject, Own(put))[1]
