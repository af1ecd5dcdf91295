"""How often each class is taken for each other one, in training batches and in whole validation passes."""

from __future__ import annotations

import math

import numpy as np
import torch

from nn_inspector.probes.measurement import Measurement
from nn_inspector.probes.predictions import are_scores, is_batch
from nn_inspector.probes.probe import PassReader
from nn_inspector.probes.recorder import Phase, Recorder
from nn_inspector.stats import count_in_rows

MOST_CLASSES = 20
"""With more classes than this a matrix can no longer be read, and is not counted."""

_ITEMS = 1024


class ConfusionProbe(PassReader):
    """Counts pairs of class and prediction: `confusion`, [classes * classes], row after row a true class.

    In training it looks at the batches of measured steps; the counts of a step are those of its last batch. Of validation
    it counts every batch, and hands on the counts of the pass at its end.
    """

    name = "confusion"

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._found: dict[Phase, torch.Tensor] = {}

    def observe(self, prediction: object, target: object) -> None:
        """The loss is computed of these two."""
        phase = self.recorder.phase
        if self.failure is not None or (phase == "train" and not self.recorder.due):
            return
        try:
            counts = count_pairs(prediction, target)
            before = self._found.get(phase) if phase == "validation" else None
            if counts is not None:
                fits = before is not None and before.shape == counts.shape and before.device == counts.device
                self._found[phase] = before + counts if before is not None and fits else counts
        except Exception as error:  # noqa: BLE001 - an error of ours never stops a training
            self.fail(error)

    def end_validation(self) -> None:
        """A validation pass is over."""
        self._hand_on("validation")

    def hand_on(self) -> None:
        self._hand_on("train")

    def _hand_on(self, phase: Phase) -> None:
        counts = self._found.pop(phase, None)
        if counts is None:
            return
        step = self.recorder.step

        def read(numbers: np.ndarray) -> list[Measurement]:
            return [Measurement(step, "confusion", phase, np.array(numbers, dtype=np.float64))]

        # Each process may validate at steps of its own, so that only what all of them train on is added up.
        self.recorder.put(counts, read, merged="sum" if phase == "train" else "same", label="confusion")


def count_pairs(prediction: object, target: object) -> torch.Tensor | None:
    """Counts [classes * classes] of class and prediction; None where these are no class scores, or of too many classes.

    Of more than 1,024 items (the pixels of images, say) as many are looked at, evenly chosen.

    Example:
        >>> count_pairs(torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]]), torch.tensor([0, 1, 1])).tolist()
        [1.0, 0.0, 1.0, 1.0]
    """
    if not is_batch(prediction) or not is_batch(target) or not are_scores(prediction, target):
        return None
    classes = prediction.shape[1]
    if classes > MOST_CLASSES:
        return None
    said, true = prediction.detach().argmax(1).reshape(-1), target.detach().reshape(-1).to(prediction.device)
    every = math.ceil(len(true) / _ITEMS)
    if every > 1:
        said, true = said[::every], true[::every]
    # A row of counts before those of the classes and one behind take what is none of them.
    pairs = torch.add(said + classes, true.long().clamp(-1, classes), alpha=classes)
    return count_in_rows(pairs[None], (classes + 2) * classes)[0, classes:-classes]
