"""What should have been seen and was not, said so that the reader knows what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.optim import Optimizer

from nn_inspector.probes.attention import is_made_anew
from nn_inspector.probes.compiled import compiled_frames
from nn_inspector.probes.forward import ForwardProbe
from nn_inspector.probes.gradients import GradientProbe
from nn_inspector.probes.loaders import LoaderProbe
from nn_inspector.probes.module_outputs import ModuleOutputs
from nn_inspector.probes.other_steps import OtherSteps
from nn_inspector.probes.parameters import ParameterNames
from nn_inspector.probes.probe import Probe
from nn_inspector.probes.ranks import world_size
from nn_inspector.probes.steps import StepProbe

MEASURED = 3
"""Measured steps after which a module that never ran is worth a word."""

UNSEEN_AFTER = 2
"""Steps after which a model that was not seen to run is worth a word."""

UNREAD_AFTER = 20
"""Steps after which a training loader of which no batch was seen is worth a word."""

WITHOUT_STEPS = 50
"""Training passes of the model after which it is strange that no optimizer has stepped."""

_SHOWN = 3


class Silences:
    """Compares what was seen with what there is; asked for when someone looks, so it costs the training nothing.

    Args:
        model, loss_fn, optimizers, names: what is watched.
        forward, outputs, gradients, steps, others: the probes that know what was seen.
        probes: all that have hooks.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: object,
        optimizers: Sequence[Optimizer],
        names: ParameterNames,
        forward: ForwardProbe,
        outputs: ModuleOutputs,
        gradients: GradientProbe,
        steps: StepProbe,
        others: OtherSteps,
        probes: Sequence[Probe],
    ) -> None:
        self._model = model
        self._loss_fn = loss_fn
        self._optimizers = optimizers
        self._names = names
        self._forward = forward
        self._outputs = outputs
        self._gradients = gradients
        self._steps = steps
        self._others = others
        self._probes = probes
        self._frames_at_first = compiled_frames()
        self._versions_at_first = _versions(model)

    def said(self, *, gradients: bool) -> list[str]:
        """One sentence or two for each silence, with what to do.

        Args:
            gradients: whether gradients are measured; else it is not known which modules are never used.
        """
        found = [self._others.problem()]
        if found[0] is None and self._steps.recorder.step == 0:
            found.append(self._without_steps())
        if self._steps.recorder.step >= 1 and self._optimizers:
            found.append(self._replaced() or self._unstepped())
            found.append(self._without_values())
            found.append(self._sharded())
            found.append(self._of_the_loss())
        if self._steps.recorder.step >= UNSEEN_AFTER:
            found.append(self._unseen())
        if gradients and self._forward.passes and self._outputs.measured_steps >= MEASURED:
            found.append(self._unused())
        if self._steps.recorder.step >= UNREAD_AFTER:
            found.append(self._unread())
        if any(probe.lost for probe in self._probes):
            found.append("Other code removed hooks of nn_inspector: what they saw is missing now. Call watch() again.")
        return [text for text in found if text is not None]

    def _without_steps(self) -> str | None:
        if (
            compiled_frames() > self._frames_at_first
            and self._versions_at_first.items() - _versions(self._model).items()
        ):
            return (
                "The weights change, but no step of an optimizer is seen: what torch.compile has compiled is not. Compile the model "
                "alone, and call optimizer.step() outside of what is compiled."
            )
        if self._forward.training_passes < WITHOUT_STEPS:
            return None
        return (
            "The model ran, but no optimizer of its parameters made a step. Where your loop changes the weights itself, let "
            "torch.optim.SGD do it: the result is the same, and its steps are seen."
        )

    def _unread(self) -> str | None:
        loaders = [probe for probe in self._probes if isinstance(probe, LoaderProbe) and probe.role == "train"]
        if not loaders or loaders[0].passes:
            return None
        return (
            "train_loader was given, and no batch of it was seen: the loop takes its data from elsewhere, or has begun to read it "
            "before watch(). Order, labels and the wait for data are not measured. Pass the loader that the loop goes through."
        )

    def _unseen(self) -> str | None:
        if self._forward.passes == 0 and not self._outputs.fired:
            return (
                "The model's forward pass was not seen: it is compiled, torch.func calls it, another thread runs it, or "
                "only parts of it are called (model.forward(x), a submodule). Gradients and updates are measured; "
                "activations and a loss that is no module are not."
            )
        if self._forward.passes == 0:
            return (
                "The model is not called as model(x), only its forward() or parts of it. They are measured, but in "
                "validation as well: it cannot be told from training. A loss that is no module is not seen."
            )
        compiled = self._outputs.compiled()
        if not compiled:
            return None
        return (
            f"Compiled, so that their outputs are not measured: {some(compiled)}. To see them, train some steps without "
            "compiling. All else is measured."
        )

    def _without_values(self) -> str | None:
        empty = [
            name for name, p in self._model.named_parameters() if isinstance(p, UninitializedParameter) or p.is_meta
        ]
        if not empty:
            return None
        return f"Not measured, because they have no values: {some(empty)} (on the meta device, or of a layer that never ran)."

    def _of_the_loss(self) -> str | None:
        if not isinstance(self._loss_fn, nn.Module):
            return None
        stepped = {id(p) for optimizer in self._optimizers for group in optimizer.param_groups for p in group["params"]}
        stepped -= {id(p) for p in self._model.parameters()}
        own = [name for name, p in self._loss_fn.named_parameters() if id(p) in stepped]
        if not own:
            return None
        return (
            f"The loss has parameters of its own, which the optimizer steps ({some(own)}). Their gradients and updates are not measured: "
            "only those of the model are."
        )

    def _sharded(self) -> str | None:
        if not any(hasattr(parameter, "to_local") for parameter in self._model.parameters()):
            return self._apart()
        return (
            "The parameters are sharded over several processes (FSDP). What is measured of parameters and gradients is "
            "that of the part that lies in this process, loss and activations are those of its share of the data: they "
            "are not put together."
        )

    def _apart(self) -> str | None:
        if self._steps.recorder.ranks is not None or world_size() < 2:
            return None
        return (
            f"{world_size()} processes run, and the model is no DistributedDataParallel: what is measured here is of this process and its "
            "share of the data. If they train one model, watch the one that DistributedDataParallel returns."
        )

    def _replaced(self) -> str | None:
        gone = replaced_parameters(self._model, self._optimizers, self._names)
        if not gone:
            return None
        return (
            f"The optimizer steps parameters that are not in the model any more ({some(gone)}): they were replaced after "
            "it was made. Make the optimizer anew from model.parameters() and call watch() again."
        )

    def _unstepped(self) -> str | None:
        left = unstepped_parameters(self._model, self._optimizers)
        if not left:
            return None
        return (
            f"No watched optimizer steps {some(left)}, so they do not learn. Give them to an optimizer and to watch(), or "
            "say that it is meant with requires_grad_(False)."
        )

    def _unused(self) -> str | None:
        unused = unused_modules(self._model, self._outputs.modules, self._outputs.fired, self._gradients.seen)
        if not unused:
            return None
        return (
            f"Never run in training, and without gradients: {some(unused)}. Use them in forward(), or remove them from "
            "the model."
        )


def kinds_not_seen(model: nn.Module, chosen: AbstractSet[str]) -> list[str]:
    """What the chosen probes do not see in this model, for want of modules of the kinds that they know.

    Args:
        model: the network.
        chosen: names of the probes, see `PROBES`.
    """
    modules = dict(model.named_modules())
    own = [name for name, one in modules.items() if name and "attention" in type(one).__name__.lower()]
    anew = [name for name, one in modules.items() if isinstance(one, nn.MultiheadAttention) and is_made_anew(one)]
    cells = [name for name, one in modules.items() if isinstance(one, nn.RNNCellBase)]
    found = []
    if "attention" in chosen and own and not any(isinstance(one, nn.MultiheadAttention) for one in modules.values()):
        found.append(f"Attention is measured in nn.MultiheadAttention alone. That of {some(own)} is not.")
    if "attention" in chosen and anew:
        found.append(
            f"Attention of {some(anew)} is not measured: its weights are parametrized, and to read them once more may change them."
        )
    if "hidden_states" in chosen and cells:
        found.append(f"Hidden states are measured in nn.RNN, nn.LSTM and nn.GRU alone. Those of {some(cells)} are not.")
    return found


def unused_modules(
    model: nn.Module, modules: Mapping[str, nn.Module], fired: AbstractSet[str], seen: AbstractSet[str]
) -> list[str]:
    """Modules that hold trainable parameters, never ran, and none of whose parameters ever had a gradient.

    A module that does not run although its parameters learn is normal: its parent computes with them, or it is compiled.

    Args:
        model: the network.
        modules: the measured ones.
        fired: names of those that ran.
        seen: names of the parameters that had a gradient.
    """
    learning = {id(parameter) for name, parameter in model.named_parameters(remove_duplicate=False) if name in seen}
    found = []
    for name, module in modules.items():
        own = [parameter for parameter in module.parameters(recurse=False) if parameter.requires_grad]
        if name not in fired and own and not any(id(parameter) in learning for parameter in own):
            found.append(name)
    return found


def replaced_parameters(model: nn.Module, optimizers: Sequence[Optimizer], names: ParameterNames) -> list[str]:
    """Names of parameters that an optimizer steps and that were the model's when watching began, but are no longer."""
    present = {id(parameter) for parameter in model.parameters()}
    stepped = [id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    return [names.at_first[key] for key in stepped if key in names.at_first and key not in present]


def unstepped_parameters(model: nn.Module, optimizers: Sequence[Optimizer]) -> list[str]:
    """Names of trainable parameters that no watched optimizer steps."""
    stepped = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    return [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in stepped]


def _versions(model: nn.Module) -> dict[str, int]:
    """How often each parameter was written to."""
    held = {name: p for name, p in model.named_parameters() if not isinstance(p, UninitializedParameter)}
    return {name: p._version for name, p in held.items() if not p.is_inference()}


def some(names: Sequence[str]) -> str:
    """The first few names, and how many there are more.

    Example:
        >>> some(["a", "b", "c", "d", "e"])
        'a, b, c and 2 more'
    """
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
