"""The user's own hooks on a copy of the model.

A hook survives the copy as the same function, with the user's lists in its closure. It may belong to what the network
computes (it clips a gradient, it changes an output) or only look on (it collects features), and that is not known before
it is called. So it is called: while it returns nothing and changes nothing in its first call, it looked on, and is left
out from then on. What the calls changed of the user's is put back at the end of the experiment, see `preserved_state`.

A hook that reaches what cannot be put back (a logger, a queue, whatever other threads work on) or cannot be copied is taken
for one that looks on, and is not called at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import torch
from torch import nn

from nn_inspector.experiments.reach import left_alone, reachable

_REGISTRIES = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def user_hooks(model: nn.Module) -> list[Callable[..., Any]]:
    """The hooks on the modules and parameters of a model that are neither torch's nor ours."""
    found = [hook for module in model.modules() for registry in _registries(module) for hook in registry.values()]
    found += [hook for parameter in model.parameters() for hook in (parameter._backward_hooks or {}).values()]
    return [hook for hook in found if _is_users(hook)]


def global_hooks() -> list[Callable[..., Any]]:
    """The hooks that torch calls for every module, and so for those of a copy as well."""
    registries = (held for name, held in vars(nn.modules.module).items() if name.startswith("_global_"))
    return [hook for held in registries if isinstance(held, dict) for hook in held.values() if _is_users(hook)]


def guard_hooks(original: nn.Module, twin: nn.Module) -> None:
    """On a copied model, let hooks that only look on be called once; parameters get the hooks that copying leaves out."""
    for module in twin.modules():
        for registry in _registries(module):
            for key, hook in registry.items():
                if _is_users(hook):
                    registry[key] = _guarded(hook)
    copies = dict(twin.named_parameters())
    for name, parameter in original.named_parameters():
        for hook in (parameter._backward_hooks or {}).values():
            if _is_users(hook) and name in copies and copies[name].requires_grad:
                copies[name].register_hook(_guarded(hook))


def look_away(*args: object, **kwargs: object) -> None:
    """Stands in for a hook that is left out."""


def _guarded(hook: Callable[..., Any]) -> Callable[..., Any]:
    return look_away if any(left_alone(found) for found in reachable(hook)) else _Guarded(hook)


class _Guarded:
    """Calls a hook until it is known that it only looks on.

    A hook that fails on the copy (it looks up the original module in a table) is left out as well.
    """

    def __init__(self, hook: Callable[..., Any]) -> None:
        self._hook = hook
        self._known = False
        self._looks_on = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._looks_on:
            return None
        if self._known:
            return self._hook(*args, **kwargs)
        self._known = True
        before = list(_marks((args, kwargs)))
        try:
            result = self._hook(*args, **kwargs)
        except Exception:  # noqa: BLE001 - what the hook expects is not there on a copy
            self._looks_on = True
            return None
        self._looks_on = result is None and list(_marks((args, kwargs))) == before
        return result


def _registries(module: nn.Module) -> Iterator[MutableMapping[int, Callable[..., Any]]]:
    yield from (getattr(module, name) for name in _REGISTRIES)


def _is_users(hook: object) -> bool:
    home = getattr(hook, "__module__", None) or type(hook).__module__
    return str(home).partition(".")[0] not in ("torch", "nn_inspector", "contextlib")  # the last: ours on a copy


def _marks(value: Any) -> Iterator[object]:
    """What changes when a tensor is written to, or an attribute of a module is set."""
    if isinstance(value, torch.Tensor):
        yield id(value)
        yield 0 if value.is_inference() else value._version
    elif isinstance(value, nn.Module):
        for name, held in vars(value).items():
            yield name, id(held)
        for tensor in (*value._parameters.values(), *value._buffers.values()):
            yield from _marks(tensor)
    elif isinstance(value, dict):
        yield from (mark for part in value.values() for mark in _marks(part))
    elif isinstance(value, list | tuple):
        yield from (mark for part in value for mark in _marks(part))
