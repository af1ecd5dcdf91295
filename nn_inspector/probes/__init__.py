"""From torch to measurements: the only place that registers hooks on what belongs to the user."""

from nn_inspector.probes.attachment import Attachment
from nn_inspector.probes.batches import Epoch
from nn_inspector.probes.confusion import MOST_CLASSES
from nn_inspector.probes.label_order import Blocks, BlockSums, LabelOrder
from nn_inspector.probes.labels import Labels, find_labels, is_label_key, label_parts
from nn_inspector.probes.layer_choice import LayerChoice, choose_layers
from nn_inspector.probes.learning_rate import group_name
from nn_inspector.probes.lengths import Lengths
from nn_inspector.probes.loop_clipping import Clipping, clipping_of
from nn_inspector.probes.loss_calls import CallMode, LossCall
from nn_inspector.probes.measurement import QUANTITIES, Measured, Measurement, MeasurementTable, TraceEntry, one_by_one
from nn_inspector.probes.optimizer_finder import OptimizerFinder
from nn_inspector.probes.origin import node_number, origin
from nn_inspector.probes.outputs import first_tensor
from nn_inspector.probes.predictions import FIXED_FIELDS, are_scores
from nn_inspector.probes.presets import PRESETS, PROBES, choose_probes
from nn_inspector.probes.ranks import is_first_rank
from nn_inspector.probes.recorded_steps import Recording, program_of
from nn_inspector.probes.recorder import TRACED_STEPS, Phase, Recorder
from nn_inspector.probes.replay import replay, replay_output
from nn_inspector.probes.schedule import DENSE_STEPS, Schedule
from nn_inspector.probes.set_back import WATCHED_PASSES
from nn_inspector.probes.tape import Tape
from nn_inspector.probes.tape_making import without_penalty
from nn_inspector.probes.tape_recorder import TapeRecorder
from nn_inspector.probes.worst_items import ITEM_FIELDS, OUTLIER, SAMPLE_NUMBERS

__all__ = [
    "DENSE_STEPS",
    "FIXED_FIELDS",
    "ITEM_FIELDS",
    "MOST_CLASSES",
    "OUTLIER",
    "PRESETS",
    "PROBES",
    "QUANTITIES",
    "SAMPLE_NUMBERS",
    "TRACED_STEPS",
    "WATCHED_PASSES",
    "Attachment",
    "BlockSums",
    "Blocks",
    "CallMode",
    "Clipping",
    "Epoch",
    "LabelOrder",
    "Labels",
    "LayerChoice",
    "Lengths",
    "LossCall",
    "Measured",
    "Measurement",
    "MeasurementTable",
    "OptimizerFinder",
    "Phase",
    "Recorder",
    "Recording",
    "Schedule",
    "Tape",
    "TapeRecorder",
    "TraceEntry",
    "are_scores",
    "choose_layers",
    "choose_probes",
    "clipping_of",
    "find_labels",
    "first_tensor",
    "group_name",
    "is_first_rank",
    "is_label_key",
    "label_parts",
    "node_number",
    "one_by_one",
    "origin",
    "program_of",
    "replay",
    "replay_output",
    "without_penalty",
]
