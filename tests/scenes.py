"""Small trainings to diagnose: broken ones with their repaired twins (tests/faults) and sound ones (tests/healthy).

A scene is what a user has in a notebook. Its `loop` is plain user code, because the diagnosis reads it.
"""

from __future__ import annotations

import pkgutil
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

from torch import nn
from torch.optim import Optimizer

Builder = TypeVar("Builder", bound=Callable[..., "Scene"])

APART = 5
"""One id of so many is kept apart while thresholds are set."""

SEEN = {
    "digits-against-the-batch": "came with what batch_dependency says of validation items in another company",
    "own-plateau-that-waits-for-a-rise": "came with what scheduler says of a plateau that waits for a rise",
    "own-policy-gradient-at-a-tiny-rate": "came with what learning_rate says where copies cannot be trained",
    "own-temperature-that-chooses-once-and-for-all": "came with what hidden_activation says of a softmax of far too large scores",
}
"""Those that would be kept apart, but were seen while a check was written: each came together with it."""


@dataclass
class Scene:
    """What a user has in a notebook: objects, and the function that trains."""

    model: nn.Module
    optimizer: Optimizer | list[Optimizer] | None
    loss_fn: Callable[..., Any] | None
    train_loader: Iterable[Any]
    loop: Callable[[], object]
    val_loader: Iterable[Any] | None = None
    score: Callable[[], float] | None = None
    """How well it learned, larger is better; asked after `loop()`."""
    step: Callable[..., Any] | None = None
    symptom: Callable[[], bool] | None = None
    """For a fault that does not show in the score: whether it is seen, asked after `loop()`."""


@dataclass(frozen=True)
class Fault:
    """A broken training and its repaired twin."""

    id: str
    kind: str
    build: Callable[[bool, int], Scene]
    """(repaired, seed) -> Scene."""
    causes: frozenset[str]
    """The checks that name the cause."""
    symptoms: frozenset[str]
    """The checks that may stand beside or below the cause."""
    learns: float
    """The twin's score must reach this; the broken one's must not, unless the scene has a `symptom`."""


@dataclass(frozen=True)
class Healthy:
    """A sound training, however unusual."""

    id: str
    kind: str
    build: Callable[[int], Scene]
    """(seed) -> Scene."""
    learns: float


_faults: dict[str, Fault] = {}
_healthy: dict[str, Healthy] = {}


def fault(
    name: str, *, kind: str, causes: Iterable[str], learns: float, symptoms: Iterable[str] = ()
) -> Callable[[Builder], Builder]:
    """Registers the decorated `(repaired, seed) -> Scene` as a fault; `name` is its id."""

    def register(build: Builder) -> Builder:
        _add(_faults, name, Fault(name, kind, build, frozenset(causes), frozenset(symptoms), learns))
        return build

    return register


def healthy(name: str, *, kind: str, learns: float) -> Callable[[Builder], Builder]:
    """Registers the decorated `(seed) -> Scene` as a sound training; `name` is its id."""

    def register(build: Builder) -> Builder:
        _add(_healthy, name, Healthy(name, kind, build, learns))
        return build

    return register


def all_faults() -> list[Fault]:
    """Every fault of tests/faults, by id."""
    _import_all("tests.faults")
    return [_faults[name] for name in sorted(_faults)]


def all_healthy() -> list[Healthy]:
    """Every sound training of tests/healthy, by id."""
    _import_all("tests.healthy")
    return [_healthy[name] for name in sorted(_healthy)]


def held_out(name: str) -> bool:
    """Whether this one is kept apart while thresholds are set, and reported on separately."""
    return name not in SEEN and zlib.crc32(name.encode()) % APART == 0


def _add(known: dict[str, Any], name: str, entry: Fault | Healthy) -> None:
    if name in known:
        raise ValueError(f"Two trainings have the id {name!r}. Give the second one another.")
    known[name] = entry


def _import_all(package: str) -> None:
    for module in pkgutil.iter_modules(import_module(package).__path__, f"{package}."):
        if not module.name.rpartition(".")[2].startswith(("test_", "conftest")):
            import_module(module.name)
