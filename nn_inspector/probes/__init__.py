"""From torch to measurements: the only place that registers hooks on what belongs to the user."""

from nn_inspector.probes.attachment import Attachment
from nn_inspector.probes.batches import Epoch, class_labels, labels_of
from nn_inspector.probes.learning_rate import group_name
from nn_inspector.probes.loss_calls import CallMode, LossCall
from nn_inspector.probes.measurement import QUANTITIES, Measurement, TraceEntry
from nn_inspector.probes.optimizer_finder import OptimizerFinder
from nn_inspector.probes.outputs import first_tensor
from nn_inspector.probes.recorder import TRACED_STEPS, Phase, Recorder
from nn_inspector.probes.schedule import DENSE_STEPS, Schedule

__all__ = [
    "DENSE_STEPS",
    "QUANTITIES",
    "TRACED_STEPS",
    "Attachment",
    "CallMode",
    "Epoch",
    "LossCall",
    "Measurement",
    "OptimizerFinder",
    "Phase",
    "Recorder",
    "Schedule",
    "TraceEntry",
    "class_labels",
    "first_tensor",
    "group_name",
    "labels_of",
]
