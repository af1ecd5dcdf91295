"""Panel: the items of a batch that the network gets most wrong."""

from __future__ import annotations

import numpy as np

from nn_inspector.history import Chart, Curve, Run, Series, row_labels
from nn_inspector.panels.panel import Panel, Selection
from nn_inspector.probes import ITEM_FIELDS

NOTHING = "What the loss was given could not be told apart by items."

_NUMBERS = 6
"""Of an item that is no picture so many first numbers are shown."""


def picture(run: Run, selection: Selection) -> Chart:
    """The items with the greatest loss in the latest measured batch, with what was said of them and what is true."""
    series = _exact(run.series("worst_items", "train"))
    if not len(series):
        return Chart("rows", "loss of the item", "item", {}, note=NOTHING if run.steps else "")
    step = int(series.steps[-1])
    rows = [dict(zip(ITEM_FIELDS, row, strict=True)) for row in series.values[-1].reshape(-1, len(ITEM_FIELDS))]
    rows = [row for row in rows if not np.isnan(row["loss"])]
    names = [_name(row) for row in rows]
    samples = [_sample(run, rank, step) for rank in range(len(rows))]
    pictures = [image for sample in samples if sample is not None and (image := as_image(sample)) is not None]
    return Chart(
        kind="rows",
        x_label="loss of the item",
        y_label="item",
        series={
            "loss": Curve(np.arange(len(rows), dtype=np.float64), np.array([row["loss"] for row in rows]), "marks")
        },
        labels=row_labels(names),
        remarks=tuple(_remark(row) for row in rows),
        pictures=tuple(pictures) if len(pictures) == len(rows) else (),
        note=_note(step, rows, names, samples if not pictures else []),
    )


def _exact(series: Series) -> Series:
    """Without the points that stand for the mean of several: the mean of items is no item."""
    keep = series.counts == 1
    return Series.exact(series.steps[keep], series.values[keep])


def _sample(run: Run, rank: int, step: int) -> np.ndarray | None:
    kept = _exact(run.series("sample", str(rank)))
    place = int(np.searchsorted(kept.steps, step))
    if place >= len(kept) or kept.steps[place] != step:
        return None
    vector = kept.values[place]
    shape = [int(size) for size in vector[:3] if size]
    sample: np.ndarray = vector[3:].reshape(shape)
    return sample


def as_image(sample: np.ndarray) -> np.ndarray | None:
    """An item as an image, uint8 [height, width] or [height, width, 3]; None if it does not look like one.

    Example:
        >>> as_image(np.array([[[0.0, 1.0], [0.5, 0.0]]])).tolist()
        [[0, 255], [127, 0]]
        >>> as_image(np.zeros(8)) is None
        True
    """
    if sample.ndim == 3 and sample.shape[0] in (1, 3):
        sample = sample[0] if sample.shape[0] == 1 else np.moveaxis(sample, 0, 2)
    if sample.ndim not in (2, 3) or min(sample.shape[:2]) < 2 or (sample.ndim == 3 and sample.shape[2] != 3):
        return None
    finite = np.nan_to_num(sample, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    image: np.ndarray = (255 * (finite - low) / (high - low or 1.0)).astype(np.uint8)
    return image


def _name(row: dict[str, float]) -> str:
    if not np.isnan(row["index"]):
        return f"item {row['index']:.0f}"
    return f"place {row['place']:.0f}"


def _remark(row: dict[str, float]) -> str:
    said, true = (f"{row[name]:.4g}" for name in ("prediction", "target"))
    return f"said {said}, true {true}"


def _note(step: int, rows: list[dict[str, float]], names: list[str], samples: list[np.ndarray | None]) -> str:
    notes = [f"Batch of step {step:,}."]
    if any(np.isnan(row["index"]) for row in rows):
        notes.append("A place is that in the batch; which item of the data set stood there is not known.")
    if any(np.isinf(row["loss"]) for row in rows):
        notes.append("Items without a mark have a loss of NaN or Inf.")
    for name, sample in zip(names, samples, strict=False):
        if sample is not None:
            flat = sample.reshape(-1)
            more = ", …" if len(flat) > _NUMBERS else ""
            notes.append(f"{name}: {', '.join(f'{number:.3g}' for number in flat[:_NUMBERS])}{more}.")
    return " ".join(notes)


PANEL = Panel(
    name="worst_items",
    title="Worst items",
    healthy="Healthy: hard items, rightly labelled. Look them up: often the label is wrong, or the item is damaged.",
    picture=picture,
    checks=("label_alignment", "label_range", "loss_spike"),
)
"""The items of a batch that the network gets most wrong."""
