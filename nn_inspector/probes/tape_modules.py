"""Sees modules of the model being called by hand, and the loss: `model.encoder(x)` instead of `model(x)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from nn_inspector.probes.compiled import compiled_frames
from nn_inspector.probes.fast_path import KINDS
from nn_inspector.probes.probe import Probe
from nn_inspector.probes.recorder import Recorder
from nn_inspector.probes.tape import ModuleCall
from nn_inspector.probes.tape_making import NotReplayable
from nn_inspector.probes.tape_recorder import TapeRecorder

_MOST = 300
_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict, torch.jit.ScriptModule)
_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


class ModuleCalls(Probe):
    """Hooks the loss in the first steps, and the parts of the model where they are called by hand.

    Attention of torch's is left out: it takes another way, which rounds otherwise, where it is hooked. So are compiled
    modules and those that run in several threads.

    Args:
        recorder: says whether it is training.
        model, loss_fn: the user's.
        tape: is told of the calls.
        on_part: called when a part of the model has been called and the model has not.

    Attributes:
        has_parts: whether the parts of the model are watched, or have been tried to.
    """

    name = "module calls"

    def __init__(
        self, recorder: Recorder, model: nn.Module, loss_fn: object, tape: TapeRecorder, on_part: Callable[[], None]
    ) -> None:
        super().__init__(recorder)
        self._model = model
        self._loss_fn = loss_fn
        self._tape = tape
        self._on_part = on_part
        self.has_parts = False

    def attach(self) -> None:
        if isinstance(self._loss_fn, nn.Module) and not isinstance(self._loss_fn, _CONTAINERS):
            self._watch(ModuleCall("loss"), self._loss_fn)

    def attach_parts(self) -> None:
        """The loop seems to call parts of the model itself."""
        self.has_parts = True
        if compiled_frames():
            self._tape.safely(_refuse_compiled)
            return
        for name, module in parts(self._model):
            self._watch(ModuleCall("model", name), module)

    def _watch(self, call: ModuleCall, module: nn.Module) -> None:
        self.keep(module.register_forward_pre_hook(self.hook(self._enter, call), with_kwargs=True))
        self.keep(module.register_forward_hook(self.hook(self._leave, call)))

    def _enter(self, call: ModuleCall, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if self.recorder.phase == "train":
            self._tape.safely(self._tape.enter, call, args, kwargs)

    def _leave(self, call: ModuleCall, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._tape.safely(self._tape.leave, call, output)
        if call.owner == "model" and not self._tape.inside:
            self._on_part()


def parts(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a model that can be watched without a change in how they run, by name."""
    modules = dict(model.named_modules())
    if len(modules) > _MOST or any(isinstance(m, _PARALLEL) or _is_compiled(m) for m in modules.values()):
        return
    aside = tuple(f"{name}." for name, module in modules.items() if isinstance(module, KINDS))
    for name, module in modules.items():
        if name and not isinstance(module, (*_CONTAINERS, *KINDS)) and not f"{name}.".startswith(aside):
            yield name, module


def _refuse_compiled() -> None:
    raise NotReplayable(
        "The model's own forward pass was not seen, and torch.compile was at work: it may be part of a compiled graph."
    )


def _is_compiled(module: nn.Module) -> bool:
    return getattr(module, "_compiled_call_impl", None) is not None or hasattr(module, "_orig_mod")
