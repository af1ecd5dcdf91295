"""How a tensor was made, read from its graph: the operations that computed it, the last one first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch

LONGEST = 8
"""So many names at most."""

_FARTHEST = 64
"""So many nodes of the graph are looked at."""

SHAPING = frozenset(
    {
        "alias", "as_strided", "clone", "contiguous", "diagonal", "expand", "flip", "gather", "index", "index_select",
        "lift_fresh", "masked_select", "movedim", "narrow", "permute", "repeat", "reshape_alias", "roll", "select", "slice",
        "split", "split_with_sizes", "squeeze", "t", "take", "to_copy", "transpose", "unbind", "unfold", "unsafe_split",
        "unsafe_split_with_sizes", "unsafe_view", "unsqueeze", "view", "view_as", "copy_slices", "copy",
    }
)  # fmt: skip
"""Operations that move, select or cast values and compute none."""

_SAME: Mapping[str, str] = MappingProxyType(
    {
        "linear": r"addmm|mm|linear|bmm|baddbmm|addbmm|addmv|mv|dot|trilinear|mkldnn_linear|linear_backward",
        "conv": r".*convolution.*|slow_conv.*|thnn_conv.*|conv_.*",
        "norm": r".*batch_norm.*|.*layer_norm.*|.*group_norm.*|.*rms_norm.*",
        "dropout": r".*dropout",
        "attention": r".*scaled_dot_product.*",
        "embedding": r"embedding.*",
        "clamp": r"clamp.*",
        "max_pool": r".*max_pool.*",
        "avg_pool": r".*avg_pool.*",
        "leaky_relu": r"leaky_relu|rrelu_with_noise",
        "nll": r"nll_loss.*",
        "mse": r"mse_loss",
        "smooth_l1": r"smooth_l1_loss",
        "huber": r"huber_loss",
        "bce": r"binary_cross_entropy",
        "bce_with_logits": r"binary_cross_entropy_with_logits",
        "lstm": r"thnn_fused_lstm_cell|lstm.*",
        "gru": r"thnn_fused_gru_cell",
        "rnn": r".*rnn.*",
    }
)
"""Names that are given here to what torch calls by several."""

_ENDS = frozenset({"linear", "conv", "lstm", "gru", "rnn", "embedding"})
_WITH_AXIS = frozenset({"softmax", "log_softmax", "glu", "cat", "stack"})
_UNKNOWN = frozenset({"compiled_function", "checkpoint_function"})
_RECURRENT = {0: "rnn", 1: "rnn", 2: "lstm", 3: "gru"}


def origin(tensor: torch.Tensor, known: Mapping[int, str] = MappingProxyType({})) -> list[str]:
    """The operations that computed a tensor, the last one first.

    Shape operations and casts are passed over. Where an operation has several inputs, the first that is computed itself
    is followed. The list ends after the first matrix product, convolution, recurrent layer or embedding, after eight names, or
    where the graph tells no more: it is empty for a tensor without a graph and for one from a compiled graph.

    Softmax and its like have the axis they worked along behind their name, counted from 0 in their own result. On the CPU
    a GRU and a plain recurrent layer are seen as the operations they consist of, and dropout as "mul".

    Args:
        tensor: any tensor.
        known: names for nodes of the graph by their `node_number`; one that is met ends the list.

    Example:
        >>> origin(torch.nn.functional.softmax(torch.nn.Linear(2, 3)(torch.zeros(4, 2)), dim=-1).squeeze())
        ['softmax:1', 'linear']
    """
    names: list[str] = []
    for node in path(tensor):
        number = node_number(node)
        if number is not None and number in known:
            return [*names, known[number]][:LONGEST]
        name = operation(node)
        if name in _UNKNOWN:
            break
        if name in SHAPING or (name == "add" and _is_bias(node)):
            continue
        axis = _axis(node) if name in _WITH_AXIS else None
        names.append(name if axis is None else f"{name}:{axis}")
        if name in _ENDS or len(names) == LONGEST:
            break
    return names


def path(tensor: torch.Tensor) -> Iterator[Any]:
    """The nodes of a tensor's graph from its end, always by the first input that is computed itself."""
    node: Any = tensor.grad_fn
    for _ in range(_FARTHEST):
        if node is None:
            return
        yield node
        computed = _computed_inputs(node)
        node = computed[0] if computed else None


def operation(node: Any) -> str:
    """What a node of the graph computed.

    Example:
        >>> operation(torch.ones(2, requires_grad=True).clamp(0, 1).grad_fn)
        'clamp'
    """
    bare = re.sub(r"Backward\d*$", "", str(node.name()).rpartition("::")[2])
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", bare).lower().strip("_")
    found = next((ours for ours, theirs in _SAME.items() if re.fullmatch(theirs, name)), name)
    return _RECURRENT.get(getattr(node, "_saved_mode", -1), "rnn") if found == "rnn" else found


def node_number(node: Any) -> int | None:
    """A number by which a node is known as long as the graph lives; holding the node would keep the graph alive."""
    return int(node._sequence_nr()) if node is not None else None


def _computed_inputs(node: Any) -> list[Any]:
    inputs = [source for source, _ in node.next_functions if source is not None]
    return [source for source in inputs if not source.name().endswith("AccumulateGrad")]


def _is_bias(node: Any) -> bool:
    """Whether a parameter of one axis is added to a matrix product: a linear layer in two parts."""
    inputs = [source for source, _ in node.next_functions]
    if len(inputs) != 2 or inputs[1] is None or not inputs[1].name().endswith("AccumulateGrad"):
        return False
    product = inputs[0]
    while product is not None and operation(product) in SHAPING:
        product = next(iter(_computed_inputs(product)), None)
    return product is not None and operation(product) == "linear" and inputs[1].variable.dim() == 1


def _axis(node: Any) -> int | None:
    axis = getattr(node, "_saved_dim", None)
    if not isinstance(axis, int):
        return None
    if axis >= 1 << 63:  # torch stores it without a sign
        axis -= 1 << 64
    results: Any = getattr(node, "_input_metadata", None)
    if axis < 0:
        return axis + len(results[0].shape) if results else None
    return axis
