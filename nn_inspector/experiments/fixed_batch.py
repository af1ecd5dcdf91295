"""What the network says of a few items that stay the same, again and again while it is trained."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from nn_inspector.errors import ExperimentError
from nn_inspector.experiments.batch_contents import batch_size, select, tensors_of, to_device
from nn_inspector.experiments.isolation import isolated
from nn_inspector.experiments.one_pass import one_pass
from nn_inspector.experiments.start import Start
from nn_inspector.probes import FIXED_FIELDS, TRACED_STEPS, LossCall, Measurement, Recorder, are_scores
from nn_inspector.training import Training

MOST_ITEMS = 24
"""So many items of the first batch are remembered, and so many of the answers followed: each has a row of a picture."""

MOST_BYTES = 16 << 20
"""Items that take more memory than this are not remembered."""

SHARE = 0.2
"""Asking may use this much of the overhead budget, beside the probes and the panels."""

_FIRST_LOOKS = frozenset({0, 1, 2, 4, 8, 16})
"""After these steps it is asked whatever that costs: nothing changes as fast as the first predictions."""

_QUICK = 0.5
"""Seconds; where asking takes longer, the first looks keep to the budget as well."""

_BINARY = frozenset({"binary_cross_entropy", "binary_cross_entropy_with_logits"})
_NUMBERS = frozenset({"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})


class FixedBatch:
    """Asks a copy of the network, in evaluation mode, for the same items of the first training batch after some of the steps.

    The copy is made anew each time and thrown away: the user's model is never called, and what a look changed of the user's
    is put back (see `isolated`). The items are kept in memory as long as the training is watched, and never written anywhere.
    With `every="auto"` looks are so far apart that they keep to their share of the overhead budget, but for the first few;
    with a number of steps they are made that often.

    Args:
        training: whose model is asked. One above 64 MiB, a compiled one, and one that several processes train is not.
        recorder: takes the answers as `fixed_batch`, the rows of which are `FIXED_FIELDS`; and a trace entry "fixed_batch" with the
            reason, where it cannot be asked.
    """

    def __init__(self, training: Training, recorder: Recorder) -> None:
        self._training = training
        self._recorder = recorder
        self._items: Any = None
        self._chosen: _Chosen | None = None
        self._next = 0.0
        self._cost = 0.0
        self._is_over = False

    def offer(self, batch: Any) -> None:
        """The loop is given a training batch: some items of the first one are remembered."""
        if self._items is None and not self._is_over:
            self._safely(lambda: self._remember(batch))

    def after_step(self) -> None:
        """A step is complete: ask if it is time."""
        if self._items is None and isinstance(self._training.train_loader, list | tuple):
            self.offer(self._training.train_loader[0])
        if self._items is None or not self._is_time():
            return
        begin = time.perf_counter()
        self._safely(self._look)
        now = time.perf_counter()
        self._cost = now - begin
        self._next = now + self._cost / (SHARE * self._recorder.schedule.max_overhead)

    def forget(self) -> None:
        """It is not asked any more."""
        self._items, self._is_over = None, True

    @property
    def _step(self) -> int:
        """The step that has just been made."""
        return self._recorder.step - 1

    def _is_time(self) -> bool:
        every = self._recorder.schedule.every
        if every != "auto":
            return self._step % every == 0
        is_first = self._step in _FIRST_LOOKS and self._cost < _QUICK
        return is_first or (self._step > max(_FIRST_LOOKS) and time.perf_counter() >= self._next)

    def _remember(self, batch: Any) -> None:
        reason = self._why_not()
        if reason is not None:
            raise ExperimentError(reason)
        size = batch_size(batch)
        item = sum(tensor.numel() * tensor.element_size() for tensor in tensors_of(batch)) / size
        count = min(size, MOST_ITEMS, int(MOST_BYTES / max(item, 1)))
        if not count:
            raise ExperimentError("An item of the data is too large to be remembered.")
        self._items = to_device(select(batch, torch.arange(count, device="cpu"), size), torch.device("cpu"))

    def _why_not(self) -> str | None:
        if self._recorder.share[1] > 1:
            return "Several processes train the model."
        if self._training.initial is None:
            return "The model is too large to be copied while it is trained."
        if any(map(_is_compiled, self._training.model.modules())):
            return "The model is compiled, and a copy of it would be compiled anew."
        return None

    def _look(self) -> None:
        if self._chosen is None:
            self._ask(Start("initial"), 0)
            if self._step == 0:
                return
        self._ask(Start(), self._step)

    def _ask(self, start: Start, step: int) -> None:
        with self._recorder.suspend(), isolated(self._training, start=start) as copied:
            calls = one_pass(copied, self._items).calls
            call = next((call for call in calls if _answers(call) is not None), None)
            answers = _answers(call) if call is not None else None
        if answers is None:
            raise ExperimentError("It is not seen what the loss holds the predictions against.")
        if self._chosen is None:
            self._chosen = _Chosen.of(answers)
        numbers = self._chosen.numbers(answers)

        def read(values: np.ndarray) -> list[Measurement]:
            return [Measurement(step, "fixed_batch", "train", np.array(values, dtype=np.float64))]

        self._recorder.put(numbers, read, label="fixed_batch")

    def _safely(self, work: Callable[[], None]) -> None:
        """In the first steps it may not be known yet how the loss is computed; later a failure is for good."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - an error of ours never stops a training
            if self._items is None or self._step >= TRACED_STEPS or self._chosen is not None:
                self._recorder.trace_beyond("fixed_batch", reason=str(error))
                self.forget()


@dataclass(frozen=True, slots=True)
class _Answers:
    """What was said and what is true, float32 [items, outputs] each; of classes and of yes or no with the probability of what is true."""

    said: torch.Tensor
    true: torch.Tensor
    probability: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Which of the answers are followed.

    Attributes:
        rows: of items, or of their parts (the words of a text) where the loss is told of each.
        column: of several numbers the one whose targets differ most.
    """

    rows: torch.Tensor
    column: int

    @classmethod
    def of(cls, answers: _Answers) -> _Chosen:
        known = torch.isfinite(answers.true).any(1).nonzero()[:, 0]
        rows = known[:: max(1, len(known) // MOST_ITEMS)][:MOST_ITEMS]
        if not len(rows):
            raise ExperimentError("No item of the first batch has a target.")
        return cls(rows, int(answers.true[rows].nan_to_num().var(0, correction=0).argmax()))

    def numbers(self, answers: _Answers) -> torch.Tensor:
        """The followed answers, [fields * rows]. Of several questions about an item the mean probability is all that is said."""
        said, true = (part[self.rows, self.column] for part in (answers.said, answers.true))
        unknown = torch.full_like(said, torch.nan)
        probability = answers.probability
        is_one = probability is None or probability.shape[1] == 1
        fields = {
            "prediction": said if is_one else unknown,
            "target": true if is_one else unknown,
            "probability": unknown if probability is None else probability[self.rows].nanmean(1),
        }
        return torch.cat([fields[name] for name in FIXED_FIELDS])


def _answers(call: LossCall) -> _Answers | None:
    """The answers in a call of a loss; None where it does not tell what is right."""
    given, right = call.prediction.detach(), call.target
    if not isinstance(right, torch.Tensor) or given.dim() == 0 or len(given) == 0:
        return None
    given, right = given.float(), right.detach().to(given.device)
    if are_scores(given, right):
        return _of_classes(given, right, is_log="nll" in call.name)
    if right.numel() != given.numel():
        return None
    flat, true = given.reshape(len(given), -1), right.reshape(len(given), -1).float()
    if call.name in _BINARY:
        yes = flat.sigmoid() if call.name.endswith("logits") else flat
        return _Answers((yes > 0.5).float(), (true > 0.5).float(), torch.where(true > 0.5, yes, 1 - yes))
    return _Answers(flat, true, None) if call.name in _NUMBERS else None


def _of_classes(scores: torch.Tensor, right: torch.Tensor, *, is_log: bool) -> _Answers:
    shares = scores.exp() if is_log else scores.softmax(1)
    is_known = (right >= 0) & (right < scores.shape[1])
    truth = right.clamp(0, scores.shape[1] - 1).long()
    probability = shares.gather(1, truth[:, None])[:, 0]
    parts = (
        scores.argmax(1).float(),
        *(part.float().masked_fill(~is_known, torch.nan) for part in (truth, probability)),
    )
    said, true, probability = (part.reshape(len(scores), -1) for part in parts)
    return _Answers(said, true, probability)


def _is_compiled(module: nn.Module) -> bool:
    return getattr(module, "_compiled_call_impl", None) is not None or "_orig_mod" in module._modules
