"""In which mode the model was when it was trained and validated, and what in it depends on the mode."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from nn_inspector.history import Run


@dataclass(frozen=True, slots=True)
class Dependent:
    """What a model does differently in its two modes.

    Attributes:
        dropout: names of modules that drop units in training.
        norms: names of modules that normalize by the batch in training, and by what they have learned in evaluation.
    """

    dropout: tuple[str, ...]
    norms: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.dropout or self.norms)

    @property
    def text(self) -> str:
        """What it is, in words."""
        parts = ["dropout"] * bool(self.dropout) + ["batch normalization"] * bool(self.norms)
        return " and ".join(parts)


def dependent_on_mode(model: nn.Module) -> Dependent:
    """The modules of a model that depend on its mode; user code that asks `self.training` is not among them.

    Example:
        >>> dependent_on_mode(nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3), nn.LayerNorm(3), nn.Dropout(0.0)))
        Dependent(dropout=('0',), norms=('1',))
    """
    dropout, norms = [], []
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            dropout += [name] * (module.p > 0)
        elif isinstance(module, nn.RNNBase | nn.MultiheadAttention):
            acts = not isinstance(module, nn.RNNBase) or module.num_layers > 1
            dropout += [name] * (acts and float(module.dropout) > 0)
        elif isinstance(module, nn.modules.batchnorm._NormBase) and module.track_running_stats:
            norms.append(name)
    return Dependent(tuple(dropout), tuple(norms))


@dataclass(frozen=True, slots=True)
class TrainedModes:
    """In which mode steps were made.

    Attributes:
        in_eval: so many steps were made in evaluation mode.
        steps: all steps.
        first_in_train: whether the first ones were made in training mode.
    """

    in_eval: int
    steps: int
    first_in_train: bool

    @property
    def share(self) -> float:
        """Share of steps in evaluation mode."""
        return self.in_eval / self.steps if self.steps else 0.0


def trained_modes(run: Run) -> TrainedModes | None:
    """The modes of the training passes, as far as they were seen; None if none was."""
    series = run.series("training_mode", "train")
    if not len(series) or series.total != len(series):  # of a run that switched very often, only means are left
        return None
    ends = [*series.steps.tolist()[1:], run.steps]
    lengths = [end - begin for begin, end in zip(series.steps.tolist(), ends, strict=True)]
    modes = series.values.tolist()
    in_eval = sum(length for length, mode in zip(lengths, modes, strict=True) if not mode)
    first = next((mode for length, mode in zip(lengths, modes, strict=True) if length), 1.0)
    return TrainedModes(in_eval, run.steps, bool(first))


def learned_statistics(model: nn.Module, values: dict[str, torch.Tensor]) -> bool:
    """Whether batch normalization had learned statistics already, by the buffers given."""
    counts = [value for name, value in values.items() if name.endswith("num_batches_tracked")]
    return any(int(count) > 0 for count in counts)
