"""All probes of one training, put on and taken off together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from nn_inspector.probes.activations import ActivationProbe
from nn_inspector.probes.batches import Epoch
from nn_inspector.probes.forward import ForwardProbe
from nn_inspector.probes.gradients import GradientProbe
from nn_inspector.probes.learning_rate import LearningRateProbe
from nn_inspector.probes.loaders import LoaderProbe
from nn_inspector.probes.loss import LossProbe
from nn_inspector.probes.parameters import ParameterNames
from nn_inspector.probes.probe import Probe
from nn_inspector.probes.recorder import Phase, Recorder
from nn_inspector.probes.steps import StepProbe
from nn_inspector.probes.updates import UpdateProbe
from nn_inspector.probes.zeroing import ZeroingProbe


class Attachment:
    """Attaches the probes to a training's objects.

    Args:
        recorder: takes what they measure.
        model, loss_fn: the user's.
        loaders: the user's loaders by what they are for; only those of type `DataLoader` can be watched.
        on_epoch: called with each new `Epoch` of a watched loader.
        on_step: called after each optimizer step; a `TrainingStopped` that it raises reaches the user's loop.
    """

    def __init__(
        self,
        recorder: Recorder,
        model: nn.Module,
        loss_fn: object | None,
        loaders: Mapping[Phase, object],
        on_epoch: Callable[[Epoch], None],
        on_step: Callable[[], None],
    ) -> None:
        self._recorder = recorder
        self._on_step = on_step
        self._optimizers: list[Optimizer] = []
        names = ParameterNames(model, self._optimizers)
        zeroing = ZeroingProbe(recorder, names)
        self._loss = LossProbe(recorder, model, loss_fn, lambda: zeroing.arrivals)
        self._forward = ForwardProbe(recorder, model, self._loss.begin_forward)
        self._activations = ActivationProbe(recorder, model)
        readers = (
            self._activations,
            self._loss,
            LearningRateProbe(recorder, self._optimizers),
            GradientProbe(recorder, self._optimizers, names),
            UpdateProbe(recorder, names),
            zeroing,
        )
        self._steps = StepProbe(recorder, readers, self._end_step)
        own = {
            role: loader for role, loader in loaders.items() if role == "train" or loader is not loaders.get("train")
        }
        self.probes: tuple[Probe, ...] = (
            self._forward,
            *readers,
            self._steps,
            *(
                LoaderProbe(recorder, loader, role, on_epoch, self._on_loader)
                for role, loader in own.items()
                if isinstance(loader, DataLoader)
            ),
        )
        for probe in self.probes:
            probe.attach()

    def add_optimizer(self, optimizer: Optimizer) -> None:
        """Watch the steps of one more optimizer."""
        self._optimizers.append(optimizer)
        self._steps.add_optimizer(len(self._optimizers) - 1, optimizer)

    @property
    def layers(self) -> list[str]:
        """Names of the modules whose outputs are measured."""
        return list(self._activations.modules)

    @property
    def failures(self) -> list[str]:
        """What the probes that switched themselves off said."""
        return [probe.failure for probe in self.probes if probe.failure is not None]

    @property
    def forward_passes(self) -> int:
        """How often the model itself was called."""
        return self._forward.passes

    def settle(self) -> None:
        """No training is running: leave nothing on torch's stacks, and hand on all that was measured."""
        self._loss.close_window()
        self._loss.end_validation()
        self._recorder.flush()

    def detach(self) -> None:
        """Take every hook off."""
        self.settle()
        for probe in self.probes:
            probe.detach()

    def _on_loader(self, role: Phase, active: bool) -> None:
        self._forward.validating = active and role == "validation"
        if not active and role == "validation":
            self._loss.close_window()
            self._loss.end_validation()

    def _end_step(self) -> None:
        self._forward.validating = False
        self._on_step()
