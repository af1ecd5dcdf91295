"""A copy of the training to experiment on, while the user's own objects stay as they are."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from nn_inspector.errors import ExperimentError, describe_error
from nn_inspector.experiments.batch_contents import to_device
from nn_inspector.experiments.belongings import Belongings
from nn_inspector.experiments.copying import copy_training
from nn_inspector.experiments.device_checks import device_checks
from nn_inspector.experiments.preserved_state import preserved_state
from nn_inspector.experiments.random_state import preserved_random_state
from nn_inspector.experiments.reach import shared_by_copies
from nn_inspector.experiments.recurrent import in_one_piece, with_backward
from nn_inspector.experiments.start import Start, set_rates
from nn_inspector.experiments.time_limit import require_time
from nn_inspector.experiments.user_hooks import global_hooks, user_hooks
from nn_inspector.probes import Clipping
from nn_inspector.training import Training

_NOW = Start()


@dataclass
class TrainingCopy:
    """Copies of a training's model, optimizers and loss, free to be changed.

    Attributes:
        same_noise: whether a loop that draws random numbers for its loss gets the same ones each time.
        penalty: whether what the loop adds to its loss for the weights alone is part of it.
        instead: what an experiment makes of a batch in place of the loss; None for the loss.
        before_batch: what an experiment does before the model is asked about a batch.
    """

    training: Training
    model: nn.Module
    optimizers: list[Optimizer]
    loss_fn: Callable[..., torch.Tensor] | None
    same_noise: bool = False
    penalty: bool = True
    instead: Callable[[Any], torch.Tensor] | None = None
    before_batch: Callable[[], None] | None = None
    _own_loss: Any = field(init=False)
    _modes: list[tuple[nn.Module, bool]] = field(init=False)
    _clips: list[Any] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._own_loss = self.loss_fn
        if not self.model.training:
            self.model.train()
        self._modes = [(module, module.training) for module in self.model.modules()]

    def train_mode(self) -> None:
        """Switch the model to training, but for the modules that the user keeps in evaluation mode (frozen ones)."""
        for module, mode in self._modes:
            module.training = mode

    def clip(self, clipping: Clipping | None) -> None:
        """Clip gradients before each step from now on, in place of what was done before; not at all if None."""
        for handle in self._clips:
            handle.remove()
        self._clips = []
        if clipping is None:
            return

        def before(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
            clipping.clip(parameter for group in optimizer.param_groups for parameter in group["params"])

        self._clips = [optimizer.register_step_pre_hook(before) for optimizer in self.optimizers]

    def loss(self, batch: Any) -> torch.Tensor:
        """The loss of the copied model on a copy of a batch; what goes wrong in the user's code is said in one sentence.

        Another `loss_fn` than the copied one, put here by an experiment, judges the model's output and the batch's last part
        as they are, unless `step` was given.

        Raises:
            ExperimentError: the batch does not fit the model or the loss.
        """
        fixed = self.same_noise and self.training.tape is not None and self.training.tape.draws
        with preserved_random_state(0) if fixed else contextlib.nullcontext():
            loss: torch.Tensor = self._said(self._loss, batch)
        return loss

    def backward(self, loss: torch.Tensor) -> None:
        """Compute the gradients of a loss; what goes wrong is said in one sentence.

        Raises:
            ExperimentError: there are none, as of a graph that reaches back into an earlier batch.
        """
        try:
            loss.backward()
        except RuntimeError as error:
            raise ExperimentError(
                f"A copy's gradients could not be computed ({describe_error(error)}). If something is kept from batch to batch, "
                "detach() it."
            ) from error

    def _loss(self, moved: Any) -> torch.Tensor:
        if self.instead is not None:
            return self.instead(moved)
        if self.loss_fn is not None and self.loss_fn is not self._own_loss and self.training.step is None:
            return self.training.judged(self.model, self.loss_fn, moved)
        return self.training.loss(self.model, self.loss_fn, moved, penalty=self.penalty)

    def predict(self, batch: Any) -> Any:
        """What the copied model returns for the inputs of a batch, where the loss is not needed or not known.

        Raises:
            ExperimentError: the batch does not fit the model, or it is not known which part of it are the inputs.
        """
        return self._said(lambda moved: self.training.output(self.model, moved), batch)

    def _said(self, compute: Callable[[Any], Any], batch: Any) -> Any:
        require_time()
        if self.before_batch is not None:
            self.before_batch()
        try:
            with with_backward(self.model):
                return compute(to_device(batch, self.training.device))
        except ExperimentError:
            raise
        except Exception as error:
            source = (
                "a batch of train_loader" if self.training.train_loader is not None else "the data of a recorded step"
            )
            raise ExperimentError(
                f"The model or the loss could not be computed on {source} "
                f"({describe_error(error)}). If your loop changes the batch first, show how: "
                "watch(..., step=lambda model, batch: loss)."
            ) from error


@contextlib.contextmanager
def isolated(training: Training, *, start: Start = _NOW, seed: int = 0) -> Iterator[TrainingCopy]:
    """Copy the training for the length of the block.

    Inside, all random generators are seeded with `seed`; afterwards they are as before. The gradients of the user's
    parameters are put aside meanwhile, so that a loss function that holds on to the original model cannot add to
    them. Other networks, optimizers, lists, counters and generators that the loss, the step function, a method or a
    hook of the user's refers to are put back. On a CUDA device values out of range raise before a kernel asserts.

    Args:
        training: the user's training.
        start: which weights and learning rates the copy begins with.
        seed: for the experiment.

    Raises:
        OutOfTimeError: the time for experiments is used up, here or before a pass of the copy.
        ExperimentError: the training cannot be copied, or something of the user's changed in spite of all care; it was
            put back then, as far as the message does not say otherwise.
    """
    require_time()
    functions = _called(training)
    belongings = Belongings(training, *functions)
    with (
        preserved_random_state(seed),
        preserved_state(*functions, *training.optimizers),
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        device_checks(training.device),
    ):
        copied = TrainingCopy(training, *copy_training(training))
        in_one_piece(copied.model)
        if start.weights == "initial":
            _rewind(copied)
        set_rates(training, copied.optimizers, start)
        copied.clip(training.clipping)
        try:
            belongings.set_gradients_aside()
            yield copied
        finally:
            interrupted = isinstance(sys.exc_info()[1], KeyboardInterrupt)
            changed, lost = belongings.restore()
            if lost and not interrupted:
                raise ExperimentError(
                    f"An experiment changed your own {', '.join(lost[:3])}, and it could not be put back: it is too large to "
                    "be copied. Load your last checkpoint. Pass a step that works on its argument `model` alone."
                )
    if changed:
        raise ExperimentError(
            f"An experiment changed your own {', '.join(changed[:3])}: the loss or step function works on the original "
            "model, not on the one it is given. It was put back. Use its argument `model`."
        )


def _called(training: Training) -> list[object]:
    """What of the user's an experiment calls that is not copied."""
    shared = shared_by_copies(training.model)
    shared += shared_by_copies(training.loss_fn) if isinstance(training.loss_fn, nn.Module) else [training.loss_fn]
    return [training.step, *shared, *user_hooks(training.model), *global_hooks()]


@torch.no_grad()
def _rewind(copied: TrainingCopy) -> None:
    weights = copied.training.initial
    assert weights is not None, "initial_state() has made sure of this"
    tensors = {**dict(copied.model.named_parameters()), **dict(copied.model.named_buffers())}
    if any(name not in tensors or tensors[name].shape != weight.shape for name, weight in weights.items()):
        raise ExperimentError("The model has other layers now than at the time of watch(). Call watch() again.")
    for name, weight in weights.items():
        tensors[name].copy_(weight)
        tensors[name].grad = None
    for optimizer in copied.optimizers:
        optimizer.state.clear()
