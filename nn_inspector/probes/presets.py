"""Which probes there are, and which of them go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from nn_inspector.errors import ArgumentError, describe

PROBES: Mapping[str, str] = MappingProxyType(
    {
        "loss": "value of the loss, in training and validation",
        "learning_rate": "learning rate of each parameter group",
        "gradients": "norm of each gradient",
        "updates": "norm of each parameter and of what the step changed",
        "zeroing": "whether gradients are cleared between steps",
        "time": "seconds of a step, and how many of them are waiting for data",
        "predictions": "whether predictions differ from item to item, and how much their targets do; measured with the loss",
        "confusion": "which classes are taken for which, in training batches and validation passes; measured with the loss",
        "worst_items": "which items of a batch have the greatest loss; measured with the loss",
        "activations": "distribution of each module's output, saturation, NaN and Inf",
        "units": "dead and saturated units of activations",
        "memory": "memory of the process and of the device",
        "activation_gradients": "distribution of the gradient at each module's output",
        "weight_distributions": "distribution of each parameter",
        "gradient_distributions": "sum and distribution of each gradient",
        "moments": "norm of each tensor in the optimizer's state",
        "hidden_states": "norm of the hidden state along the sequence, of recurrent layers",
        "attention": "entropy of attention weights",
        "fixed_batch": "what a copy of the model says of some items of the first batch, asked again and again",
    }
)
"""All probes, by the names that `watch(probes=...)` takes."""

_LIGHT = ("loss", "learning_rate", "gradients", "updates", "zeroing", "time")

_WITH_LOSS = {"predictions", "confusion", "worst_items"}
"""These see what the loss is given."""

PRESETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "light": _LIGHT,
        "standard": (*_LIGHT, "predictions", "confusion", "worst_items", "activations", "units", "memory"),
        "full": tuple(PROBES),
    }
)
"""The sets of probes that have a name."""


def choose_probes(probes: str | Sequence[str]) -> frozenset[str]:
    """The names of the chosen probes.

    Args:
        probes: a preset, or names of probes.

    Raises:
        ArgumentError: there is no such preset or probe; the message names those that there are.

    Example:
        >>> sorted(choose_probes(["loss", "time"]))
        ['loss', 'time']
    """
    if isinstance(probes, str):
        if probes in PRESETS:
            return frozenset(PRESETS[probes])
        expected = f"{_listed(PRESETS)} or a list of probes"
        raise ArgumentError("probes", expected=expected, got=repr(probes), advice=f"The probes are {_listed(PROBES)}.")
    if not isinstance(probes, Sequence | set | frozenset) or not all(isinstance(name, str) for name in probes):
        raise ArgumentError(
            "probes", expected="a preset or a list of names", got=describe(probes), advice='Leave it at "standard".'
        )
    unknown = [name for name in probes if name not in PROBES]
    if unknown or not probes:
        got = f"{unknown[0]!r}" if unknown else "an empty list"
        raise ArgumentError("probes", expected="names of probes", got=got, advice=f"There are {_listed(PROBES)}.")
    return frozenset(probes) | ({"loss"} if _WITH_LOSS & set(probes) else frozenset())


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(f'"{name}"' for name in names)
