"""All probes of one training, put on and taken off together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from nn_inspector.probes.activation_gradients import ActivationGradientProbe
from nn_inspector.probes.activations import ActivationProbe
from nn_inspector.probes.attention import AttentionProbe
from nn_inspector.probes.batches import Epoch
from nn_inspector.probes.confusion import ConfusionProbe
from nn_inspector.probes.forward import ForwardProbe
from nn_inspector.probes.gradients import GradientProbe
from nn_inspector.probes.hidden_states import HiddenStateProbe
from nn_inspector.probes.layer_choice import choose_layers, passed_modules
from nn_inspector.probes.learning_rate import LearningRateProbe
from nn_inspector.probes.loaders import LoaderProbe, can_be_watched
from nn_inspector.probes.loop_trace import LoopTrace
from nn_inspector.probes.loss import LossProbe
from nn_inspector.probes.memory import MemoryProbe
from nn_inspector.probes.module_outputs import ModuleOutputs, OutputReader
from nn_inspector.probes.moments import MomentProbe
from nn_inspector.probes.other_steps import OtherSteps
from nn_inspector.probes.parameter_distributions import GradientDistributionProbe, WeightDistributionProbe
from nn_inspector.probes.parameters import ParameterNames
from nn_inspector.probes.plain_torch import plain_torch
from nn_inspector.probes.predictions import PredictionProbe
from nn_inspector.probes.presets import choose_probes
from nn_inspector.probes.probe import Probe, StepReader
from nn_inspector.probes.ranks import Ranks
from nn_inspector.probes.recorder import Phase, Recorder
from nn_inspector.probes.regular_writes import RegularWrites
from nn_inspector.probes.scripting import allow_scripting
from nn_inspector.probes.set_back import SetBack
from nn_inspector.probes.silences import Silences, kinds_not_seen
from nn_inspector.probes.steps import StepProbe
from nn_inspector.probes.tape_recorder import TapeRecorder
from nn_inspector.probes.timing import TimeProbe
from nn_inspector.probes.units import UnitProbe
from nn_inspector.probes.updates import UpdateProbe
from nn_inspector.probes.worst_items import WorstItemsProbe
from nn_inspector.probes.zeroing import ZeroingProbe, is_cleared

_CAPACITY, _CAPACITY_A_MODULE = 16384, 700
"""At most so many numbers of one step are merged over processes."""


class Attachment:
    """Attaches the probes to a training's objects.

    Args:
        recorder: takes what they measure.
        model, loss_fn: the user's.
        loaders: the user's loaders by what they are for; see `can_be_watched`.
        on_epoch: called with each new `Epoch` of a watched loader.
        on_step: called after each optimizer step; a `TrainingStopped` that it raises reaches the user's loop.
        on_other: called with each optimizer that steps and is not watched, once.
        on_batch: called with each training batch of a watched loader, before the loop has it.
        chosen: names of the probes that are wanted, see `PROBES`; None for the standard ones.
        modules: the modules whose outputs are measured, see `choose_layers`; None for the usual ones.
        keep_samples: whether items of the user's data may be kept.
    """

    def __init__(
        self,
        recorder: Recorder,
        model: nn.Module,
        loss_fn: object | None,
        loaders: Mapping[Phase, Iterable[Any]],
        on_epoch: Callable[[Epoch], None],
        on_step: Callable[[], None],
        on_other: Callable[[Optimizer], None],
        *,
        on_batch: Callable[[Any], None] | None = None,
        chosen: frozenset[str] | None = None,
        modules: dict[str, nn.Module] | None = None,
        keep_samples: bool = False,
    ) -> None:
        self._recorder = recorder
        self._model = model
        self._on_step = on_step
        self._on_batch = on_batch
        self._optimizers: list[Optimizer] = []
        self.chosen = chosen if chosen is not None else choose_probes("standard")
        self._modules = modules if modules is not None else choose_layers(model)
        names = ParameterNames(model, self._optimizers)
        zeroing = ZeroingProbe(recorder, names, lambda: self._loss.tells_apart)
        self._confusion = ConfusionProbe(recorder)
        self._worst = WorstItemsProbe(recorder, self._given, keep_samples=keep_samples)
        self._of_pairs: dict[str, PredictionProbe | ConfusionProbe | WorstItemsProbe] = {
            "predictions": PredictionProbe(recorder),
            "confusion": self._confusion,
            "worst_items": self._worst,
        }
        gradients = GradientProbe(recorder, self._optimizers, names)
        self._loss = LossProbe(
            recorder, model, loss_fn, zeroing, self._are_cleared, self._on_pair, self._confusion.end_validation
        )
        self._forward = ForwardProbe(recorder, model, self._begin_forward)
        own = {
            role: loader for role, loader in loaders.items() if role == "train" or loader is not loaders.get("train")
        }
        self._loaders = observed = [
            LoaderProbe(recorder, loader, role, on_epoch, self)
            for role, loader in own.items()
            if can_be_watched(loader)
        ]
        self._trace = LoopTrace(recorder, model, self._optimizers, loaders.get("train"), loss_fn)
        self._set_back = SetBack(recorder, self._optimizers)
        self._regular = RegularWrites(recorder, self._optimizers)
        self._train_loader = next((probe for probe in observed if probe.role == "train"), None)
        self._time = TimeProbe(recorder, None if self._train_loader is None else _waiting(self._train_loader))
        of_outputs: dict[str, OutputReader] = {
            "activations": ActivationProbe(recorder, len(self._modules)),
            "units": UnitProbe(recorder),
            "activation_gradients": ActivationGradientProbe(recorder, len(self._modules)),
            "hidden_states": HiddenStateProbe(recorder),
            "attention": AttentionProbe(recorder),
        }
        of_steps: dict[str, StepReader] = {
            "loss": self._loss,
            **self._of_pairs,
            "learning_rate": LearningRateProbe(recorder, self._optimizers),
            "gradients": gradients,
            "gradient_distributions": GradientDistributionProbe(
                recorder, self._optimizers, names, alone="gradients" not in self.chosen
            ),
            "weight_distributions": WeightDistributionProbe(recorder, names, alone="updates" not in self.chosen),
            "updates": UpdateProbe(recorder, names),
            "moments": MomentProbe(recorder, self._optimizers, names),
            "zeroing": zeroing,
            "memory": MemoryProbe(recorder, model),
            "time": self._time,
        }
        observers = [reader for name, reader in of_outputs.items() if name in self.chosen]
        self._outputs = ModuleOutputs(
            recorder, model, self._modules, observers, self._optimizers, passed_modules(model, self._modules)
        )
        others = OtherSteps(recorder, self._optimizers, on_other)
        readers = [
            self._trace,
            self._regular,
            self._outputs,
            *observers,
            *(reader for name, reader in of_steps.items() if name in self.chosen),
        ]
        self._steps = StepProbe(recorder, readers, self._end_step)
        self.probes: tuple[Probe, ...] = (self._forward, *readers, self._steps, others, *observed)
        self._silences = Silences(
            model,
            loss_fn,
            self._optimizers,
            names,
            self._forward,
            self._outputs,
            gradients,
            self._steps,
            others,
            self.probes,
        )
        recorder.join(Ranks.of(model, _CAPACITY + _CAPACITY_A_MODULE * len(self._modules)))
        allow_scripting()
        for probe in self.probes:
            probe.attach()

    def add_optimizer(self, optimizer: Optimizer) -> None:
        """Watch the steps of one more optimizer."""
        self._optimizers.append(optimizer)
        self._steps.add_optimizer(len(self._optimizers) - 1, optimizer)

    @property
    def tape(self) -> TapeRecorder:
        """How the loop computes its loss, as far as that was seen."""
        return self._trace.tape

    @property
    def layers(self) -> list[str]:
        """Names of the modules whose outputs are measured."""
        return list(self._modules)

    @property
    def failures(self) -> list[str]:
        """What the probes that switched themselves off said, and why processes are not taken together."""
        failures = [probe.failure for probe in self.probes if probe.failure is not None]
        ranks = self._recorder.ranks
        of_ranks = (ranks.left_out, ranks.failure) if ranks is not None else ()
        return [*failures, *(text for text in of_ranks if text is not None)]

    @property
    def silences(self) -> list[str]:
        """What should have been seen and was not."""
        not_seen = kinds_not_seen(self._model, self.chosen) if self._forward.passes else []
        return [*self._silences.said(gradients="gradients" in self.chosen), *not_seen]

    @property
    def forward_passes(self) -> int:
        """How often the model itself was called."""
        return self._forward.passes

    def settle(self) -> None:
        """No training is running: leave nothing on torch's stacks, and hand on all that was measured."""
        self._trace.close()
        self._loss.close_window()
        self._loss.end_validation()
        self._time.pause()
        self._recorder.flush()
        self._worst.forget()

    def detach(self) -> None:
        """Take every hook off, whatever becomes of what was measured."""
        try:
            self.settle()
            self._recorder.close()
        except Exception as error:  # noqa: BLE001 - an error of ours is none of the script's
            self._steps.fail(error)
        for probe in self.probes:
            probe.detach()

    def _begin_forward(self, args: tuple[Any, ...]) -> None:
        if self._recorder.phase == "validation":
            self._regular.validation()
        if "loss" in self.chosen:
            self._loss.begin_forward(args)
        if "worst_items" in self.chosen:
            self._worst.begin_forward(args)
        self._outputs.begin_pass()

    def _on_pair(self, prediction: object, target: object) -> None:
        """The loss is computed of these two: of each batch in validation, in measured steps of training."""
        if self._recorder.phase == "train":
            if "worst_items" in self.chosen:
                self._worst.hold(prediction, target)
            if not self._recorder.due:
                return
        with plain_torch():
            for name, probe in self._of_pairs.items():
                if name in self.chosen:
                    probe.observe(prediction, target)

    def _are_cleared(self) -> bool:
        return len(self._optimizers) == 1 and is_cleared(self._optimizers[0])

    def _given(self) -> Any:
        """What the sampler gave for the latest training batch, if that is known."""
        return self._train_loader.given if self._train_loader is not None else None

    def fetch(self) -> None:
        """A loader is about to make a batch."""
        self._trace.fetch()

    def batch(self, role: Phase, batch: Any) -> None:
        """A loader hands out a batch."""
        self._forward.validating = role == "validation"
        self._trace.batch(role, batch)
        if role == "train":
            self._set_back.batch()
            if self._on_batch is not None:
                self._on_batch(batch)

    def end(self, role: Phase) -> None:
        """A loader came to its end."""
        self._forward.validating = False
        if role == "validation":
            self._loss.close_window()
            self._loss.end_validation()
            self._recorder.end_pass()
        else:
            self._set_back.end()

    def _end_step(self) -> None:
        self._forward.validating = False
        self._on_step()


def _waiting(probe: LoaderProbe) -> Callable[[], float]:
    return lambda: probe.waited
