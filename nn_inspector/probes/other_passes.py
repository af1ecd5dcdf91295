"""Functions that torch runs for another purpose than their values: to transform, to trace or to size them."""

from __future__ import annotations

from torch._C import _get_dispatch_mode, _is_tracing, _len_torch_dispatch_stack, _TorchDispatchModeKey
from torch._C._functorch import peek_interpreter_stack

_NO_VALUES = (_TorchDispatchModeKey.FAKE, _TorchDispatchModeKey.PROXY, _TorchDispatchModeKey.FUNCTIONAL)


def is_transformed() -> bool:
    """Whether that is what runs now: `torch.func`, `torch.jit.trace`, `make_fx`, `FakeTensorMode` and the like.

    Tensors are stand-ins there: they have no values, or must not outlive the pass.

    Example:
        >>> import torch
        >>> seen = []
        >>> torch.func.vmap(lambda x: seen.append(is_transformed()) or x)(torch.ones(2))
        tensor([1., 1.])
        >>> is_transformed(), seen
        (False, [True])
    """
    if peek_interpreter_stack() is not None or _is_tracing():
        return True
    return _len_torch_dispatch_stack() > 0 and any(_get_dispatch_mode(key) is not None for key in _NO_VALUES)
