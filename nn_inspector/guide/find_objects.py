"""Finds model, optimizer, loss and loaders among a notebook's variables, by their types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.loss import _Loss
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from nn_inspector.errors import AmbiguousError, ArgumentError

_LOSS_NAMES = ("loss_fn", "loss_func", "loss_function", "criterion")
_VALIDATION_WORDS = ("val", "dev", "test", "eval")


@dataclass(frozen=True, slots=True)
class Candidates:
    """Names of the variables that could play each part, the likeliest first."""

    models: tuple[str, ...]
    optimizers: tuple[str, ...]
    losses: tuple[str, ...]
    train_loaders: tuple[str, ...]
    val_loaders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Names of the variables chosen for `watch()`; None for what is left out."""

    model: str
    optimizer: str | None = None
    loss_fn: str | None = None
    train_loader: str | None = None
    val_loader: str | None = None

    def call(self) -> str:
        """The call of watch() that this choice amounts to.

        Example:
            >>> Choice("net", "opt", "criterion", "train").call()
            'nni.watch(net, opt, criterion, train_loader=train)'
        """
        parts = [self.model, *(name for name in (self.optimizer,) if name)]
        if self.loss_fn:
            parts.append(self.loss_fn if self.optimizer else f"loss_fn={self.loss_fn}")
        parts += [f"train_loader={self.train_loader}"] if self.train_loader else []
        parts += [f"val_loader={self.val_loader}"] if self.val_loader else []
        return f"nni.watch({', '.join(parts)})"

    def objects(self, namespace: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments for watch(), looked up by name."""
        names = {
            "model": self.model,
            "optimizer": self.optimizer,
            "loss_fn": self.loss_fn,
            "train_loader": self.train_loader,
            "val_loader": self.val_loader,
        }
        return {part: namespace[name] for part, name in names.items() if name is not None}


def find_candidates(namespace: Mapping[str, Any]) -> Candidates:
    """Look through variables for what `watch()` takes.

    A model is a module with parameters that is not part of another model found; of several names for one object the
    first counts. Loaders whose name speaks of validation or test are taken for that.

    Args:
        namespace: name -> object, for example a notebook's variables.
    """
    named = _distinct((n, v) for n, v in namespace.items() if not n.startswith("_") and not isinstance(v, type))
    modules = {n: v for n, v in named.items() if isinstance(v, nn.Module) and not _is_loss(v)}
    inner = {id(m) for module in modules.values() for m in module.modules() if m is not module}
    models = [n for n, m in modules.items() if id(m) not in inner and any(True for _ in m.parameters())]
    losses = [n for n, v in named.items() if _is_loss(v)]
    losses += [n for n in _LOSS_NAMES if n in namespace and n not in losses and callable(namespace[n])]
    loaders = [n for n, v in named.items() if isinstance(v, DataLoader) or _is_batch_list(n, v)]
    validation = [n for n in loaders if _speaks_of_validation(n)]
    training = [n for n in loaders if n not in validation]
    return Candidates(
        models=tuple(models),
        optimizers=tuple(n for n, v in named.items() if isinstance(v, Optimizer)),
        losses=tuple(losses),
        train_loaders=tuple(sorted(training, key=lambda n: "train" not in n.lower())),
        val_loaders=tuple(sorted(validation, key=lambda n: "test" in n.lower())),
    )


def choose(namespace: Mapping[str, Any], *, model: str | None = None) -> Choice:
    """The one choice that the variables allow.

    Args:
        namespace: name -> object.
        model: name of the model, where there are several.

    Raises:
        AmbiguousError: several models, and no name was given.
        ArgumentError: no model at all, or none of that name.
    """
    found = find_candidates(namespace)
    if not found.models:
        raise ArgumentError(
            "model",
            expected="a torch.nn.Module among the notebook's variables",
            got="none",
            advice="Run the cells that build your network first, or call nni.watch(model, optimizer, ...) yourself.",
        )
    if model is not None and model not in found.models:
        raise ArgumentError(
            "model", expected=f"one of {', '.join(found.models)}", got=repr(model), advice="Choose one of these."
        )
    if model is None and len(found.models) > 1:
        owned = [name for name in found.models if optimizers_of(name, namespace, found)]
        if len(owned) != 1:
            raise AmbiguousError(
                f"There are {len(found.models)} models: {', '.join(found.models)}. Say which one: "
                f"%nn_watch --model {found.models[-1]}, or nni.watch({found.models[-1]}, ...)."
            )
        model = owned[0]
    model = model or found.models[0]
    optimizers = optimizers_of(model, namespace, found)
    return Choice(
        model=model,
        optimizer=optimizers[-1] if optimizers else None,
        loss_fn=found.losses[0] if found.losses else None,
        train_loader=found.train_loaders[0] if found.train_loaders else None,
        val_loader=found.val_loaders[0] if found.val_loaders else None,
    )


def optimizers_of(model: str, namespace: Mapping[str, Any], found: Candidates) -> list[str]:
    """Names of the optimizers that step parameters of this model."""
    own = {id(p) for p in namespace[model].parameters()}
    return [
        name
        for name in found.optimizers
        if any(id(p) in own for group in namespace[name].param_groups for p in group["params"])
    ]


def _distinct(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    seen: set[int] = set()
    kept: dict[str, Any] = {}
    for name, value in items:
        if id(value) not in seen:
            kept[name] = value
            seen.add(id(value))
    return kept


def _is_loss(value: object) -> bool:
    return isinstance(value, _Loss) or (
        isinstance(value, nn.Module) and type(value).__module__ == "torch.nn.modules.loss"
    )


def _is_batch_list(name: str, value: object) -> bool:
    return isinstance(value, list) and "load" in name.lower() and bool(value) and isinstance(value[0], list | tuple)


def _speaks_of_validation(name: str) -> bool:
    words = re.split(r"[_\d]+|(?<=[a-z])(?=[A-Z])", name)
    return any(word.lower().startswith(_VALIDATION_WORDS) for word in words)
