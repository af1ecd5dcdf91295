"""Who steps which parameter, and what has become of it since watching began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.nn.parameter import UninitializedParameter
from torch.optim import Optimizer

from nn_inspector.beginning import unregistered
from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.training import Training


@dataclass(frozen=True)
class Wiring:
    """The parameters of the model by name, and by what happens to them.

    Attributes:
        parameters: all of them.
        stepped: held by an optimizer that is watched.
        elsewhere: stepped by another optimizer, or changed since `watch()` without being held by a watched one.
        moved: not what they were at the time of `watch()`; None where that is not known.
        replaced: another tensor than the one of this name at the time of `watch()`.
        reached: a gradient arrived, as far as one can see now.
        hidden: parameters that the model does not know, by place, see `beginning.unregistered`.
        strangers: what the optimizers hold besides.
    """

    parameters: Mapping[str, torch.Tensor]
    stepped: frozenset[str]
    elsewhere: frozenset[str]
    moved: frozenset[str] | None
    replaced: frozenset[str]
    reached: frozenset[str]
    hidden: Mapping[str, torch.Tensor]
    strangers: tuple[torch.Tensor, ...]

    @property
    def trainable(self) -> list[str]:
        """Names of those that ask for a gradient."""
        return [name for name, parameter in self.parameters.items() if parameter.requires_grad]

    @property
    def unstepped(self) -> list[str]:
        """Names of those that ask for a gradient, and that nobody changes."""
        changed = self.stepped | self.elsewhere
        return [name for name in self.trainable if name not in changed]


def wiring_of(subject: Subject) -> Wiring:
    """The wiring of a training; made once for all checks of a diagnosis."""
    seen: Wiring = subject.once("wiring", lambda: _wiring(subject))
    return seen


def _wiring(subject: Subject) -> Wiring:
    training = subject.training
    parameters = {
        name: parameter
        for name, parameter in training.model.named_parameters()
        if not isinstance(parameter, UninitializedParameter) and not parameter.is_meta
    }
    held = {id(p): p for optimizer in training.optimizers for p in parameters_of(optimizer)}
    own = {id(parameter): name for name, parameter in parameters.items()}
    stepped = frozenset(name for key, name in own.items() if key in held)
    moved = _moved(training, parameters)
    first = training.beginning.parameters
    replaced = frozenset(name for name, p in parameters.items() if name in first and first[name] != id(p))
    changed = (moved or frozenset()) - replaced
    reached = {name for name, parameter in parameters.items() if parameter.grad is not None}
    hidden = unregistered(training.model)
    known = {*own, *map(id, hidden.values()), *_of_loss(training)}
    return Wiring(
        parameters=parameters,
        stepped=stepped,
        elsewhere=frozenset(training.stepped_elsewhere) | (changed - stepped),
        moved=moved,
        replaced=replaced,
        reached=frozenset(reached | set(subject.run.sources("gradient_norm"))),
        hidden=hidden,
        strangers=tuple(p for key, p in held.items() if key not in known),
    )


def gradients_on_a_copy(subject: Subject) -> Mapping[str, torch.Tensor | None]:
    """The gradient of each parameter in one pass of a copy, from the first weights; empty where none can be made."""
    try:
        return subject.anatomy().gradients
    except ExperimentError:
        return {}


def parameters_of(optimizer: Optimizer) -> list[torch.Tensor]:
    """What an optimizer steps."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _moved(training: Training, parameters: Mapping[str, torch.Tensor]) -> frozenset[str] | None:
    initial = training.initial
    if initial is None:
        return None
    first = first_names(training, parameters)
    return frozenset(name for name, p in parameters.items() if name in first and differs(p, initial[first[name]]))


def first_names(training: Training, parameters: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """What each parameter was called at the time of `watch()`: pruning gives weights another name. New ones had none."""
    before = {identity: name for name, identity in training.beginning.parameters.items()}
    named = {
        name: name if name in training.beginning.parameters else before.get(id(p)) for name, p in parameters.items()
    }
    return {name: first for name, first in named.items() if first is not None and first in (training.initial or {})}


def differs(now: torch.Tensor, before: torch.Tensor) -> bool:
    """Whether a tensor is not what it was, bit by bit but for NaN."""
    if now.shape != before.shape:
        return True
    return not torch.equal(now.detach().cpu().nan_to_num(), before.nan_to_num())


def _of_loss(training: Training) -> set[int]:
    """Identities of the parameters of a loss that learns itself."""
    return {id(parameter) for parameter in getattr(training.loss_fn, "parameters", list)()}
