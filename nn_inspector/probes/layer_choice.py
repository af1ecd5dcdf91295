"""Which modules are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from nn_inspector.errors import ArgumentError, describe

LayerTest = Callable[[str, nn.Module], bool]
OneLayerChoice = str | type[nn.Module]
LayerChoice = OneLayerChoice | LayerTest | Sequence[OneLayerChoice] | None

_UNINTERESTING = (
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.Identity,
    nn.Flatten, nn.Unflatten,
)  # fmt: skip

_NAMES_SHOWN = 8


def choose_layers(model: nn.Module, layers: LayerChoice = None) -> dict[str, nn.Module]:
    """The modules whose outputs are measured, by name; the model itself is called "model".

    Args:
        model: the network.
        layers: names, where `*` stands for anything ("encoder.*"); types of modules; a list of both; or a function of
            (name, module) that returns whether to measure. None: every module that has parameters of its own or no
            children, except those that do not compute.

    Raises:
        ArgumentError: it is none of these, or fits no module; the message names some modules.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Dropout())
        >>> list(choose_layers(model)), list(choose_layers(model, nn.ReLU)), list(choose_layers(model, "[01]"))
        (['0', '1'], ['1'], ['0', '1'])
    """
    test = _measured if layers is None else _test(layers)
    hidden = {id(child) for m in model.modules() if isinstance(m, nn.MultiheadAttention) for child in m.children()}
    known = {name or "model": module for name, module in model.named_modules() if id(module) not in hidden}
    chosen = {name: module for name, module in known.items() if test(name, module)}
    if not chosen and layers is not None:
        names = ", ".join(f'"{name}"' for name in list(known)[1 : 1 + _NAMES_SHOWN]) or '"model"'
        raise ArgumentError(
            "layers",
            expected="something that fits a module",
            got=_said(layers),
            advice=f"Modules are {names}{_more(known)}.",
        )
    return chosen


def passed_modules(model: nn.Module, chosen: Iterable[str]) -> dict[str, nn.Module]:
    """Modules without parameters that are not measured, such as `Flatten` and `Dropout`, by name: only their place is noted.

    Args:
        model: the network.
        chosen: the names of those that are measured. Where these are some layers only, nothing else is noted.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.Flatten(), nn.Dropout())
        >>> list(passed_modules(model, choose_layers(model))), list(passed_modules(model, ["0"]))
        (['1', '2'], ['1', '2'])
        >>> list(passed_modules(nn.Sequential(*model, nn.Linear(2, 2)), ["0"]))
        []
    """
    measured = set(chosen)
    if not measured >= choose_layers(model).keys():
        return {}
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, _UNINTERESTING) and name not in measured and "_orig_mod" not in name
    }


def _test(layers: object) -> LayerTest:
    if isinstance(layers, str):
        return lambda name, _: fnmatchcase(name, layers)
    if isinstance(layers, type) and issubclass(layers, nn.Module):
        return lambda _, module: isinstance(module, layers)
    if isinstance(layers, Sequence) and all(isinstance(one, str | type) for one in layers):
        tests = [_test(one) for one in layers]
        return lambda name, module: any(test(name, module) for test in tests)
    if callable(layers) and not isinstance(layers, type | nn.Module):
        return lambda name, module: bool(layers(name, module))
    raise ArgumentError(
        "layers",
        expected="names, types of modules, a list of both, or a function of (name, module)",
        got=describe(layers),
        advice='For example layers="encoder.*" or layers=torch.nn.Linear.',
    )


def _measured(name: str, module: nn.Module) -> bool:
    if isinstance(module, _UNINTERESTING):
        return False
    has_children = next(module.children(), None) is not None
    return not has_children or next(module.parameters(recurse=False), None) is not None


def _said(layers: object) -> str:
    fitting = repr(layers) if isinstance(layers, str) or not callable(layers) else describe(layers)
    return f"{fitting}, which fits none"


def _more(known: dict[str, nn.Module]) -> str:
    return " and others" if len(known) > 1 + _NAMES_SHOWN else ""
