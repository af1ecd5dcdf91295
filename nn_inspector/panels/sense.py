"""What is known of a number by its name: whether more of it is better, and what it is by chance."""

from __future__ import annotations

import re
from typing import Literal

from nn_inspector.history import Run
from nn_inspector.panels.confusion import class_counts

Sense = Literal["higher", "lower"]

_HIGHER = frozenset(
    {
        "acc",
        "accuracy",
        "auc",
        "auroc",
        "bleu",
        "correct",
        "dice",
        "f1",
        "iou",
        "jaccard",
        "kappa",
        "map",
        "miou",
        "precision",
        "psnr",
        "r2",
        "recall",
        "ssim",
    }
)
_LOWER = frozenset({"cer", "error", "fid", "loss", "mae", "mape", "mse", "nll", "perplexity", "ppl", "rmse", "wer"})
_ACCURACY = frozenset({"acc", "accuracy"})
_BESIDE = frozenset({"1", "mean", "test", "top", "top1", "train", "training", "val", "valid", "validation"})
"""Words beside "accuracy" that leave it what it is: "balanced" or "top5" do not."""

_IN_PERCENT = 1.5
"""A share is never above 1; where accuracies are above this, they are in percent."""


def better(name: str) -> Sense | None:
    """Whether a number is better if it is higher or if it is lower; None where its name does not tell.

    Example:
        >>> better("val_accuracy"), better("RMSE"), better("temperature"), better("error_recall")
        ('higher', 'lower', None, None)
    """
    found = words_of(name)
    is_high, is_low = bool(found & _HIGHER), bool(found & _LOWER)
    if is_high == is_low:
        return None
    return "higher" if is_high else "lower"


def words_of(name: str) -> frozenset[str]:
    """The words of a name, in small letters."""
    return frozenset(re.findall(r"[a-z]+[0-9]*|[0-9]+", name.lower()))


def majority(run: Run, name: str, highest: float) -> float | None:
    """The accuracy of always saying the most frequent class; None where the number is no accuracy, or no classes were seen.

    Args:
        run: whose classes.
        name: of the number.
        highest: value of it, which tells shares from percent.
    """
    words = words_of(name)
    counts, _ = class_counts(run)
    if counts is None or not words & _ACCURACY or words - _ACCURACY - _BESIDE:
        return None
    share = float(counts.sum(axis=1).max() / counts.sum())
    return 100 * share if highest > _IN_PERCENT else share
