"""The classes that the batches of a training were seen to hold."""

from __future__ import annotations

import numpy as np

from nn_inspector.checks.base import Subject
from nn_inspector.checks.data.label_choice import likely_labels, seen_target
from nn_inspector.checks.data.shuffling import passes_of
from nn_inspector.errors import InspectorError
from nn_inspector.probes import LabelOrder

_FEWEST = 4


def class_labels(subject: Subject) -> LabelOrder:
    """The labels of the longest pass over the training data.

    Raises:
        InspectorError: they are no classes, or too few batches were seen.
    """
    epochs = passes_of(subject)
    longest = max(epochs, key=lambda epoch: max((part.items for part in epoch.parts.values()), default=0))
    parts = likely_labels(longest.parts.values(), seen_target(subject.run.trace))
    if len(parts) != 1 or parts[0].classes is None or np.count_nonzero(parts[0].classes.total) < 2:
        raise InspectorError(
            "This check is about classes, and the labels in the batches are none, or only one was seen."
        )
    if parts[0].batches < _FEWEST or not parts[0].classes.blocks():
        raise InspectorError(f"Only {parts[0].batches} batches of several items were seen, too few to compare.")
    if np.count_nonzero(parts[0].classes.total) > parts[0].items / 2:
        raise InspectorError("Nearly every label is another one: these are no classes.")
    return parts[0]
