"""What active checks share: an isolated copy, short seeded trainings, and trials of remedies."""

from nn_inspector.experiments.anatomy import Anatomy, Call, ModuleRun, take_apart
from nn_inspector.experiments.batch_contents import batch_size, distinct_items, tensors_of
from nn_inspector.experiments.batches import BatchSource
from nn_inspector.experiments.data_items import look_up
from nn_inspector.experiments.fixed_batch import FixedBatch
from nn_inspector.experiments.indices import item_sampler
from nn_inspector.experiments.isolation import TrainingCopy, isolated
from nn_inspector.experiments.lowest_loss import lowest_loss
from nn_inspector.experiments.mini_training import evaluate, set_option, train, without_regularization
from nn_inspector.experiments.preserved_state import generators_of, preserved_state
from nn_inspector.experiments.random_state import preserved_random_state
from nn_inspector.experiments.start import Start, initial_state
from nn_inspector.experiments.stateful import require_no_memory
from nn_inspector.experiments.time_limit import OutOfTimeError, time_limit
from nn_inspector.experiments.trials import Arm, compare, try_remedy

__all__ = [
    "Anatomy",
    "Arm",
    "BatchSource",
    "Call",
    "FixedBatch",
    "ModuleRun",
    "OutOfTimeError",
    "Start",
    "TrainingCopy",
    "batch_size",
    "compare",
    "distinct_items",
    "evaluate",
    "generators_of",
    "initial_state",
    "isolated",
    "item_sampler",
    "look_up",
    "lowest_loss",
    "preserved_random_state",
    "preserved_state",
    "require_no_memory",
    "set_option",
    "take_apart",
    "tensors_of",
    "time_limit",
    "train",
    "try_remedy",
    "without_regularization",
]
