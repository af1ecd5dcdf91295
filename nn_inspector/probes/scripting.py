"""Lets `torch.jit.script` compile a model that is watched, or a copy of one.

It compiles the hooks of a module along with it, which can be done of functions with annotations alone. So ours are taken
out of the registries while torch makes a script module, and put back where they were. Torch cannot be told to pass a hook
over: the one function through which all scripting goes is wrapped, from the first model that is watched to the end of
the process, since copies of it outlive the watching.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from nn_inspector.probes.hook import is_of_ours

_FUNCTION = "create_script_module"


@functools.cache
def allow_scripting() -> None:
    """Keep torch's scripting away from our hooks, from now on."""
    torchs = getattr(torch.jit._recursive, _FUNCTION, None)
    if torchs is None:  # it is torch's own, and may be called otherwise one day
        return

    @functools.wraps(torchs)
    def create_script_module(nn_module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        with _without_our_hooks(nn_module):
            return torchs(nn_module, *args, **kwargs)

    setattr(torch.jit._recursive, _FUNCTION, create_script_module)


@contextlib.contextmanager
def _without_our_hooks(model: nn.Module) -> Iterator[None]:
    """Inside the `with` block no module of the model has a hook of ours; those of the user's stay."""
    held = []
    for module in model.modules():
        for registry in (module._forward_hooks, module._forward_pre_hooks):
            ours = [number for number, hook in registry.items() if is_of_ours(hook)]
            if ours:
                held.append((registry, dict(registry)))
            for number in ours:
                del registry[number]
    try:
        yield
    finally:
        for registry, before in held:
            added = {number: hook for number, hook in registry.items() if number not in before}
            registry.clear()
            registry.update(before | added)
