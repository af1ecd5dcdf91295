"""Where probes compute: past the function modes on torch's stack."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

plain_torch: type[AbstractContextManager[object]] = torch._C.DisableTorchFunction  # type: ignore[assignment] # a class, not a function
"""Each function of torch's that is called within it is called as it is.

In the first steps of a training two modes of our own are on the stack, to see what the loop calls. A sum of a few numbers
costs six times as much through them, and a step of a small network measured in full calls some hundreds of functions. Modes
of the user's own do not see our arithmetic either. Nothing of the user's is to be called within it: a model that makes
tensors on `torch.set_default_device()` would make them elsewhere.
"""
