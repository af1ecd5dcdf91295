"""Walks over what hangs on an object: what calling it may change."""

from __future__ import annotations

import dis
import functools
import sys
import threading
import types
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from nn_inspector.probes.hook import Hook

_MOST_OBJECTS = 50_000
_LONGEST = 1000
"""Longer containers are not searched: they hold items, not what makes them."""

_PLAIN = (str, bytes, bytearray, int, float, complex, bool, type(None), type, types.ModuleType, torch.dtype, np.dtype)
_CONTAINERS = (dict, list, tuple, set, frozenset, deque)
_FOREIGN = sys.stdlib_module_names | {"nn_inspector"}
"""Packages whose functions are not searched for global variables, as are those that are installed."""

_STATEFUL = (
    *_CONTAINERS,
    types.FunctionType,
    Iterator,
    nn.Module,
    torch.Tensor,
    Optimizer,
    LRScheduler,
    torch.Generator,
)

_LEFT_ALONE = {"IPython", "comm", "ipykernel", "logging", "mlflow", "multiprocessing", "nn_inspector", "queue", "wandb"}
_OF_THREADS = (threading.Thread, threading.Event, threading.Condition, type(threading.Lock()), type(threading.RLock()))


def reachable(*roots: object) -> Iterator[object]:
    """Every object that can be reached from `roots`, each once, nearest first, up to a bounded number.

    Followed are attributes, containers, closures, default arguments, and what functions of the user's name as global
    variables: a notebook's generator, list or second network is often one. What other threads work on is not followed,
    nor are the hooks with which a training is watched.
    """
    seen: dict[int, object] = {}
    waiting: deque[object] = deque(roots)
    while waiting and len(seen) < _MOST_OBJECTS:
        found = waiting.popleft()
        if isinstance(found, _PLAIN) or id(found) in seen or _is_ours(found):
            continue
        seen[id(found)] = found
        yield found
        if not left_alone(found):
            waiting.extend(_parts(found))


def shared_by_copies(module: nn.Module) -> list[object]:
    """What a copy of a module has in common with it: the methods of the user's classes, and functions in attributes."""
    parts = list(module.modules())
    kinds = dict.fromkeys(map(type, parts))
    own = [value for part in parts for value in attributes(part).values() if isinstance(value, types.FunctionType)]
    return own + [value for kind in kinds for value in _of_class(kind)]


def attributes(owner: object) -> dict[str, Any]:
    """The instance attributes of an object; empty if it has no `__dict__`."""
    try:
        held = object.__getattribute__(owner, "__dict__")
    except AttributeError:
        return {}
    return held if isinstance(held, dict) else {}


def left_alone(found: object) -> bool:
    """Whether other threads may work on an object, or it is no part of the training: it is not searched."""
    if _root(type(found)) in _LEFT_ALONE or isinstance(found, _OF_THREADS):
        return True
    return any(isinstance(value, _OF_THREADS) for value in attributes(found).values())


def _is_ours(found: object) -> bool:
    return isinstance(found, Hook) or (isinstance(found, types.FunctionType) and _root(found) == "nn_inspector")


def _parts(owner: object) -> list[object]:
    if isinstance(owner, torch.Tensor | np.ndarray):
        return []
    if isinstance(owner, _CONTAINERS):
        held = owner.values() if isinstance(owner, dict) else owner
        return [*held, *attributes(owner).values()] if len(owner) <= _LONGEST else []
    return _parts_of_function(owner) or [*attributes(owner).values(), *_slots(owner), *_of_class(type(owner))]


def _parts_of_function(owner: object) -> list[object]:
    if isinstance(owner, types.FunctionType):
        defaults = (owner.__defaults__, owner.__kwdefaults__)
        return [*_closure(owner), *_global_variables(owner), *defaults, *attributes(owner).values()]
    if isinstance(owner, types.MethodType):
        return [owner.__self__, owner.__func__]
    if isinstance(owner, types.BuiltinMethodType):
        return [owner.__self__]
    if isinstance(owner, functools.partial):
        return [owner.func, owner.args, owner.keywords]
    return []


def _closure(function: types.FunctionType) -> list[object]:
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            continue
    return found


def _global_variables(function: types.FunctionType) -> list[object]:
    if _is_foreign(_root(function)):
        return []
    values = [function.__globals__.get(name) for name in _global_names(function.__code__)]
    return [value for value in values if _is_state(value) or _root(type(value)) in ("__main__", _root(function))]


@functools.lru_cache(4096)
def _global_names(code: types.CodeType) -> tuple[str, ...]:
    named = (step for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    names = dict.fromkeys(str(step.argval) for step in named)
    within = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return tuple(dict.fromkeys([*names, *(name for one in within for name in _global_names(one))]))


def _is_state(value: object) -> bool:
    """Whether a global variable or attribute of a class is worth following: whole libraries are not."""
    return isinstance(value, _STATEFUL) or _root(type(value)) in ("random", "numpy")


@functools.lru_cache(4096)
def _is_foreign(package: str) -> bool:
    """Whether a package is no work of the user's: of Python's library, ours, or installed."""
    if package in _FOREIGN:
        return True
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file


def _of_class(kind: type) -> list[object]:
    """The functions and the state that a class of the user's has."""
    held = [value for one in kind.__mro__ if not _is_foreign(_root(one)) for value in vars(one).values()]
    plain = [getattr(value, "__func__", value) for value in held]
    return [value for value in plain if _is_state(value)]


def _slots(owner: object) -> list[object]:
    names = [name for kind in type(owner).__mro__ for name in _names(vars(kind).get("__slots__", ()))]
    return [getattr(owner, name) for name in names if name not in ("__dict__", "__weakref__") and hasattr(owner, name)]


def _names(slots: object) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots) if isinstance(slots, list | tuple) else ()


def _root(named: object) -> str:
    return str(getattr(named, "__module__", "")).partition(".")[0]
