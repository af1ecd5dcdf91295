"""Whether attention looks at everything alike, or at one thing only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from nn_inspector.probes.measurement import Measurement
from nn_inspector.probes.module_outputs import ModuleCall, OutputReader
from nn_inspector.probes.recorder import Recorder

ITEMS, QUERIES = 4, 64
"""So many items of the batch and queries of each are looked at, evenly chosen."""

_ARGUMENTS = ("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask")


class AttentionProbe(OutputReader):
    """Entropy of the attention weights of each `nn.MultiheadAttention`, over its greatest possible value: from 0 to 1.

    The greatest value of a query is the logarithm of the number of keys that the masks leave to it; queries with one
    key are left out. The weights are computed once more from the module's inputs, without dropout. Attention that is
    computed by `F.scaled_dot_product_attention` in a module of the user's own is not seen: that would need a function
    mode during the whole forward pass. Nor is that whose weights are made anew each time they are read.
    """

    name = "attention"

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._entropies: dict[str, torch.Tensor] = {}
        self._earlier: dict[str, torch.Tensor] = {}

    def wants(self, module: nn.Module) -> bool:
        return isinstance(module, nn.MultiheadAttention)

    @torch.no_grad()
    def observe(self, call: ModuleCall) -> None:
        module = call.module
        if call.recomputed or call.name in self._entropies or not isinstance(module, nn.MultiheadAttention):
            return
        if is_made_anew(module):
            return
        given = {**dict(zip(_ARGUMENTS, call.args, strict=False)), **call.kwargs}
        if given["query"].is_nested:
            return
        inputs = _Inputs.cut(module, given)
        weights = _weights(module, inputs)
        self._entropies[call.name] = _entropy(weights, inputs.allowed(weights))

    def begin_pass(self) -> None:
        self._earlier, self._entropies = self._entropies | self._earlier, {}

    def forget(self) -> None:
        self._earlier = {}

    def hand_on(self) -> None:
        entropies, self._entropies, self._earlier = self._entropies | self._earlier, {}, {}
        for name, entropy in entropies.items():
            self.recorder.put(entropy, _reader(self.recorder.step, name), merged="sum")


def is_made_anew(module: nn.MultiheadAttention) -> bool:
    """Whether weights of it are parametrized: to read those may change them, as each reading of a spectral norm does."""
    return is_parametrized(module) or is_parametrized(module.out_proj)


def _reader(step: int, name: str) -> Any:
    def read(numbers: Any) -> list[Measurement]:
        total, queries = numbers
        return [Measurement(step, "attention_entropy", name, float(total / queries))] if queries else []

    return read


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What a module was called with, cut down to a few items and queries; [time, items, features]."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    padding: torch.Tensor | None
    mask: torch.Tensor | None

    @classmethod
    def cut(cls, module: nn.MultiheadAttention, given: Mapping[str, Any]) -> _Inputs:
        query, key, value = (
            _time_first(given[name], batch_first=module.batch_first).to(module.out_proj.weight.dtype)
            for name in ("query", "key", "value")
        )
        length, batch = query.shape[:2]
        every = -(-length // QUERIES)
        padding, mask = given.get("key_padding_mask"), given.get("attn_mask")
        if padding is not None:
            padding = (padding if padding.dim() == 2 else padding[None])[:ITEMS]
        if mask is not None and mask.dim() == 3:
            mask = mask.view(batch, module.num_heads, length, -1)[:ITEMS, :, ::every].flatten(0, 1)
        elif mask is not None:
            mask = mask[::every]
        return cls(query[::every, :ITEMS], key[:, :ITEMS], value[:, :ITEMS], padding, mask)

    def allowed(self, weights: torch.Tensor) -> torch.Tensor:
        """How many keys the masks leave to each query: int64 of the shape of `weights` without its last dimension."""
        allowed = torch.ones(weights.shape, dtype=torch.bool, device=weights.device)
        keys = self.key.shape[0]  # the module may have added others
        if self.mask is not None:
            mask = self.mask if self.mask.dim() == 2 else self.mask.view(weights.shape[0], -1, *self.mask.shape[1:])
            allowed[..., :keys] &= _open(mask)
        if self.padding is not None:
            allowed[..., :keys] &= _open(self.padding)[:, None, None]
        return allowed.sum(-1)


def _weights(module: nn.MultiheadAttention, inputs: _Inputs) -> torch.Tensor:
    """Attention weights, float32 [items, heads, queries, keys]."""
    separate = not module._qkv_same_embed_dim
    with torch.autocast(inputs.query.device.type, enabled=False):
        _, weights = F.multi_head_attention_forward(
            query=inputs.query,
            key=inputs.key,
            value=inputs.value,
            embed_dim_to_check=module.embed_dim,
            num_heads=module.num_heads,
            in_proj_weight=module.in_proj_weight,
            in_proj_bias=module.in_proj_bias,
            bias_k=module.bias_k,
            bias_v=module.bias_v,
            add_zero_attn=module.add_zero_attn,
            dropout_p=0.0,
            out_proj_weight=module.out_proj.weight,
            out_proj_bias=module.out_proj.bias,
            training=False,
            key_padding_mask=inputs.padding,
            need_weights=True,
            attn_mask=inputs.mask,
            use_separate_proj_weight=separate,
            q_proj_weight=module.q_proj_weight if separate else None,
            k_proj_weight=module.k_proj_weight if separate else None,
            v_proj_weight=module.v_proj_weight if separate else None,
            average_attn_weights=False,
        )
    assert weights is not None, "need_weights was said"
    return weights.to(torch.float32)


def _entropy(weights: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """[2]: the entropies over their greatest value, added up; and how many there are."""
    entropy = torch.special.entr(weights).sum(-1)
    counts = (keys > 1) & entropy.isfinite()
    relative = torch.where(counts, entropy / keys.clamp(min=2).log(), 0.0)
    return torch.stack([relative.sum(), counts.sum().to(torch.float32)])


def _time_first(tensor: torch.Tensor, *, batch_first: bool) -> torch.Tensor:
    tensor = tensor.detach()
    if tensor.dim() == 2:
        return tensor[:, None]
    return tensor.transpose(0, 1) if batch_first else tensor


def _open(mask: torch.Tensor) -> torch.Tensor:
    """Where a mask lets attention through: False in a mask of bool, anything above -Inf in one of numbers."""
    return ~mask if mask.dtype is torch.bool else mask > -torch.inf
