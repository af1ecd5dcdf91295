"""One forward hook a module, for all probes that look at what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from nn_inspector.probes.outputs import first_tensor
from nn_inspector.probes.passes import Passes
from nn_inspector.probes.plain_torch import plain_torch
from nn_inspector.probes.probe import PassReader, Removable, StepReader
from nn_inspector.probes.recorder import Recorder
from nn_inspector.stats import shape_of

CALLS_PER_STEP = 4
"""A module that runs more often within a step is measured in its first so many calls; of the others is seen whether they are finite."""

ORDER_STEPS = 2
"""In so many first steps the order in which the modules ran is noted."""

_ORDER_LIMIT = 400

_NO_NAMES: Mapping[str, Any] = MappingProxyType({})


@dataclass(slots=True)
class ModuleCall:
    """One call of a module. It holds the user's tensors: use it at once and drop it.

    Attributes:
        name, module: whose.
        args, kwargs: what it was called with; kwargs are known of attention alone.
        output: what it returned, and `tensor` the first tensor in it.
        recomputed: whether backward() runs it once more (activation checkpointing).
    """

    name: str
    module: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any
    tensor: torch.Tensor
    recomputed: bool


class OutputReader(PassReader):
    """A probe that looks at what modules return, in measured steps of the training."""

    def wants(self, module: nn.Module) -> bool:
        """Whether it looks at this module."""
        return True

    def observe(self, call: ModuleCall) -> None:
        """A module returned; what is wanted of the tensors is reduced or copied at once."""
        raise NotImplementedError

    def observe_more(self, name: str, tensor: torch.Tensor) -> None:
        """A module returned once more than it is measured in a step."""

    def begin_pass(self) -> None:
        """Another pass begins before a step: those so far may turn out to belong to none."""

    def forget(self) -> None:
        """The passes before the latest one belong to no step: nothing of them is handed on."""


class ModuleOutputs(StepReader):
    """Hooks the modules and calls the readers.

    The hooks are there only while a step is measured, except on modules that never fire: those may be part of a compiled
    graph, which a hook that comes or goes would have compiled anew. While a validation pass runs they are off as well,
    since torch takes another, faster way through modules without hooks, which rounds otherwise.

    A module that does not run in a measured step may have been replaced (a new head): then the one that stands in its
    place is hooked.

    Args:
        recorder: says which step is measured.
        model: the network.
        modules: by name; a part of it.
        readers: what looks at the outputs, in this order.
        optimizers: the watched ones; the list may grow.
        passed: other modules, of which only the place among the calls is noted, and what shape comes out of them.

    Attributes:
        fired: names of the modules that returned something in a measured training pass.
        measured_steps: steps in which any did.
    """

    name = "module"

    def __init__(
        self,
        recorder: Recorder,
        model: nn.Module,
        modules: dict[str, nn.Module],
        readers: Sequence[OutputReader],
        optimizers: Sequence[Optimizer],
        passed: Mapping[str, nn.Module],
    ) -> None:
        super().__init__(recorder)
        self.modules = modules
        self._model = model
        self._all_readers = readers
        self.fired: set[str] = set()
        self.measured_steps = 0
        self._readers = {name: [r for r in readers if r.wants(module)] for name, module in modules.items()}
        self._compiled = {name for name, module in modules.items() if _is_compiled(module)}
        self._compiled |= {n for n in modules if "_orig_mod" in n or any(n.startswith(f"{c}.") for c in self._compiled)}
        self._passed = {name: module for name, module in passed.items() if not self._is_in_a_graph(name)}
        self._passed_seen: set[str] = set()
        self._calls: dict[str, int] = {}
        self._calls_before: dict[str, int] = {}
        self._passes = Passes(optimizers)
        self._hooks: dict[str, Removable] = {}
        self._noted = 0

    def expect_step(self) -> None:
        for name, module in self.modules.items():
            if name not in self._hooks and self._readers[name]:
                if isinstance(module, nn.MultiheadAttention):
                    hook = module.register_forward_hook(self.hook(self._observe_with_names, name), with_kwargs=True)
                else:
                    hook = module.register_forward_hook(self.hook(self._observe, name))
                self._hooks[name] = hook
        if self.recorder.step < ORDER_STEPS:
            for name in self._passed.keys() - self._hooks.keys() - self._passed_seen:
                self._hooks[name] = self._passed[name].register_forward_hook(self.hook(self._note_passed, name))
        self._remove(self._passed_seen)

    def rest(self) -> None:
        self._remove(self.fired | self._passed_seen)

    def begin_pass(self) -> None:
        """The model itself is called, and not as part of a compiled graph: a pass begins whose phase is known."""
        if self.recorder.phase == "validation":
            self._remove(self._hooks.keys() - self._compiled)
        elif self.recorder.due:
            self.expect_step()

    def detach(self) -> None:
        self._remove(set(self._hooks))

    def before_step(self, optimizer_index: int) -> None:
        self.measured_steps += bool(self._calls)
        for name in [name for name in self.modules if name not in self._calls]:
            self._follow(name)
        self._calls.clear()
        if self._passes.belonged_to_no_step(optimizer_index):
            self._forget()
        self._passes.end_step()

    def after_step(self, optimizer_index: int) -> None:
        self._passes.end_step()  # of a closure

    def _follow(self, name: str) -> None:
        try:
            module = self._model.get_submodule(name) if name != "model" else self._model
        except AttributeError:  # the model was rebuilt and has no such part any more
            module = None
        if module is self.modules[name] or name == "model":
            return
        self._remove({name})
        del self.modules[name]
        if module is not None:
            self.modules[name] = module
            self._readers[name] = [reader for reader in self._all_readers if reader.wants(module)]

    def handles(self) -> list[Removable]:
        return list(self._hooks.values())

    def compiled(self) -> list[str]:
        """Names of the modules that never returned anything that could be seen because a compiled graph has taken their place."""
        whole = {name for name, module in self._model.named_modules() if _is_compiled(module)}
        wanted = [name for name in self.modules if self._readers[name] and name not in self.fired]
        found = [name for name in wanted if name in self._compiled or not whole.isdisjoint(_with_parents(name))]
        return [name.replace("_orig_mod.", "").removesuffix("._orig_mod") for name in found]

    def _is_in_a_graph(self, name: str) -> bool:
        return any(_is_compiled(self._model.get_submodule(parent)) for parent in _with_parents(name))

    def _remove(self, names: set[str]) -> None:
        for name in names & self._hooks.keys():
            self._hooks.pop(name).remove()

    def _observe_with_names(
        self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any
    ) -> None:
        self._observe(name, module, args, output, kwargs)

    def _observe(
        self, name: str, module: nn.Module, args: tuple[Any, ...], output: Any, kwargs: Mapping[str, Any] = _NO_NAMES
    ) -> None:
        recorder = self.recorder
        if recorder.phase != "train" or not recorder.due:
            return
        recomputed = torch._C._current_graph_task_id() != -1
        if self._passes.over and not recomputed:
            self._begin_pass()
        tensor = first_tensor(output)
        if tensor is None or tensor.is_meta or tensor.numel() == 0:
            return
        calls = self._calls.get(name, 0)
        if calls >= CALLS_PER_STEP:
            self._observe_more(name, tensor, recomputed=recomputed)
            return
        if tensor.grad_fn is not None and (owner := self._passes.witness(module)) is not None:
            tensor.register_hook(self.hook(self._arrive, owner))
        if not recomputed:
            self._calls[name] = calls + 1
            self.fired.add(name)
            self._note(name, tensor)
        call = ModuleCall(name, module, args, kwargs, output, tensor, recomputed)
        with plain_torch():
            for reader in self._readers[name]:
                self._guard(reader, reader.observe, call)

    def _note(self, name: str, tensor: torch.Tensor) -> None:
        if self.recorder.step < ORDER_STEPS and self._noted < _ORDER_LIMIT:
            self._noted += 1
            shape, dtype, in_graph = shape_of(tensor), str(tensor.dtype), tensor.requires_grad
            self.recorder.trace("module", module=name, output_shape=shape, output_dtype=dtype, in_graph=in_graph)

    def _note_passed(self, name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """A module that is not measured returned: that is noted once."""
        if name in self._passed_seen or self.recorder.phase != "train" or torch._C._current_graph_task_id() != -1:
            return
        self._passed_seen.add(name)
        tensor = first_tensor(output)
        if tensor is not None:
            self._note(name, tensor)

    def _observe_more(self, name: str, tensor: torch.Tensor, *, recomputed: bool) -> None:
        if tensor.grad_fn is not None and (owner := self._passes.witness(self.modules[name])) is not None:
            tensor.register_hook(self.hook(self._arrive, owner))
        if not recomputed:
            for reader in self._readers[name]:
                self._guard(reader, reader.observe_more, name, tensor)

    def _arrive(self, owner: int, gradient: torch.Tensor) -> None:
        if self.recorder.due and self._passes.arrive(owner):
            self._forget()

    def _begin_pass(self) -> None:
        self._calls_before = dict(self._calls)
        for reader in self._all_readers:
            self._guard(reader, reader.begin_pass)
        if self._passes.begin():
            self._forget()

    def _forget(self) -> None:
        self._calls = {name: calls - self._calls_before.get(name, 0) for name, calls in self._calls.items()}
        self._calls_before = {}
        for reader in self._all_readers:
            self._guard(reader, reader.forget)

    def _guard(self, reader: OutputReader, method: Callable[..., None], *what: object) -> None:
        if reader.failure is None:
            try:
                method(*what)
            except Exception as error:  # noqa: BLE001 - an error of ours never stops a training
                reader.fail(error)


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return ["", *(".".join(parts[:number]) for number in range(1, len(parts) + 1))]


def _is_compiled(module: nn.Module) -> bool:
    return getattr(module, "_compiled_call_impl", None) is not None
