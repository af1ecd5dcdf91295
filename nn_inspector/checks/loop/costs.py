"""Whether a loss is a cost by its form, so that nobody wants it to rise: the negative of logarithms of probabilities."""

from __future__ import annotations

import torch

_LOGARITHMS = frozenset({"LogSigmoid", "Softplus", "LogSoftmax", "NllLoss", "NllLoss2D"})
"""Logarithms of probabilities are never above 0, and these are one, or the negative of one."""

_THROUGH = frozenset({"Neg", "Mean", "Sum", "Div", "Gather", "Index", "Select", "Squeeze", "View", "Add"})


def is_cost(loss: torch.Tensor) -> bool:
    """Whether a loss is the mean or sum of negative logarithms of probabilities, and nothing else.

    Args:
        loss: one number, with its graph. A factor that is not the same for all items ends the search: a reward may be one.

    Example:
        >>> scores = torch.randn(8, requires_grad=True)
        >>> is_cost(-torch.nn.functional.logsigmoid(scores).mean()), is_cost(torch.nn.functional.logsigmoid(scores).mean())
        (True, False)
    """
    return float(loss.detach()) > 0 and loss.grad_fn is not None and _is_logarithm(loss.grad_fn)


def _is_logarithm(node: torch.autograd.graph.Node) -> bool:
    name = node.name().partition("Backward")[0]
    if name in _LOGARITHMS:
        return True
    sources = [source for source, _ in node.next_functions if source is not None]
    return name in _THROUGH and bool(sources) and all(_is_logarithm(source) for source in sources)
