"""Panel: the items of a batch that the network gets most wrong."""

from __future__ import annotations

import math

import numpy as np

from nn_inspector.history import Chart, Curve, Run, Series, row_labels
from nn_inspector.panels.item_image import as_image
from nn_inspector.panels.item_view import ItemView, numbers_text
from nn_inspector.panels.panel import Panel, Selection
from nn_inspector.probes import ITEM_FIELDS, OUTLIER

NOTHING = "What the loss was given could not be told apart by items."

_STOOD_OUT = "Its loss was not finite, or far above those before."
_EXTREME = "What each item adds to the loss is not known."

_Row = dict[str, float]


def picture(run: Run, selection: Selection) -> Chart:
    """The items with the greatest loss in the latest batch that was looked at, with what was said of them and what is true.

    Looked at are the batches of measured steps, and of steps whose loss stood out.
    """
    latest = _latest(run)
    if latest is None:
        return Chart("rows", "loss of the item", "item", {}, note=NOTHING if run.steps else "")
    source, step, values = latest
    rows = [dict(zip(ITEM_FIELDS, row, strict=True)) for row in values.reshape(-1, len(ITEM_FIELDS))]
    rows = [row for row in rows if not np.isnan(row["place"])]
    names = [_name(row) for row in rows]
    views, remark = _views(run, selection, rows, f"{source} " if source == OUTLIER else "", step)
    pictures = [view.picture for view in views if view is not None and view.picture is not None]
    texts = [f"{name}: {view.text}." for name, view in zip(names, views, strict=True) if view is not None and view.text]
    losses = np.array([row["loss"] for row in rows])
    return Chart(
        kind="rows",
        x_label="loss of the item",
        y_label="item",
        series={"loss": Curve(np.arange(len(rows), dtype=np.float64), losses, "marks")},
        labels=row_labels(names),
        remarks=tuple(_remark(row) for row in rows),
        pictures=tuple(pictures) if len(pictures) == len(rows) else (),
        found=_found(run, step, losses),
        note=" ".join([_note(source, step, rows), *texts, *([remark] if remark else [])]),
        alert=_alert(step, selection.step),
    )


def _latest(run: Run) -> tuple[str, int, np.ndarray] | None:
    """Source, step and numbers of the batch that was looked at last."""
    found = [(source, _exact(run.series("worst_items", source))) for source in (OUTLIER, "train")]
    known = [(source, int(series.steps[-1]), series.values[-1]) for source, series in found if len(series)]
    return max(known, key=lambda one: one[1], default=None)


def _exact(series: Series) -> Series:
    """Without the points that stand for the mean of several: the mean of items is no item."""
    keep = series.counts == 1
    return Series.exact(series.steps[keep], series.values[keep])


def _views(
    run: Run, selection: Selection, rows: list[_Row], prefix: str, step: int
) -> tuple[list[ItemView | None], str]:
    """What can be shown of each item, and what is to be said about that: the image that was kept, or what is looked up."""
    kept = [_kept(run, f"{prefix}{rank}", step) for rank in range(len(rows))]
    numbers = [None if np.isnan(row["index"]) else int(row["index"]) for row in rows]
    wanted = [number for number, view in zip(numbers, kept, strict=True) if number is not None and not _is_image(view)]
    if not wanted or selection.items is None:
        return kept, ""
    looked_up = selection.items.look_up(wanted)
    found = [None if number is None else looked_up.views.get(number) for number in numbers]
    return [
        view if _is_image(view) else there or view for view, there in zip(kept, found, strict=True)
    ], looked_up.remark


def _is_image(view: ItemView | None) -> bool:
    """Of a text or a row of a table only the numbers were kept that the network was given; the data set says more."""
    return view is not None and view.picture is not None


def _kept(run: Run, source: str, step: int) -> ItemView | None:
    kept = _exact(run.series("sample", source))
    place = int(np.searchsorted(kept.steps, step))
    if place >= len(kept) or kept.steps[place] != step:
        return None
    vector = kept.values[place]
    shape = [int(size) for size in vector[:3] if size]
    sample = vector[3 : 3 + math.prod(shape)].reshape(shape)
    image = as_image(sample)
    return ItemView(image, "" if image is not None else numbers_text(sample))


def _name(row: _Row) -> str:
    if not np.isnan(row["index"]):
        return f"item {row['index']:.0f}"
    return f"place {row['place']:.0f}"


def _remark(row: _Row) -> str:
    said, true = (f"{row[name]:.4g}" for name in ("prediction", "target"))
    return f"said {said}, true {true}" if not np.isnan(row["target"]) else "loss not known"


def _note(source: str, step: int, rows: list[_Row]) -> str:
    notes = [f"Batch of step {step:,}."]
    notes += [_STOOD_OUT] if source == OUTLIER else []
    if any(np.isnan(row["index"]) for row in rows):
        notes.append("A place is that in the batch; which item of the data set stood there is not known.")
    if any(np.isnan(row["loss"]) for row in rows):
        notes.append(_EXTREME)
    if any(np.isinf(row["loss"]) for row in rows):
        notes.append("Items without a mark have a loss of NaN or Inf.")
    return " ".join(notes)


def _found(run: Run, step: int, losses: np.ndarray) -> tuple[tuple[float, str], ...]:
    """The items whose loss is lost, and the worst one of the batch at which the loss collapsed."""
    lost = [(float(place), "nonfinite") for place in np.flatnonzero(np.isinf(losses))]
    collapsed = len(losses) > 0 and run.raised_at("loss_spike") == step
    return (*lost, *([(0.0, "loss_spike")] if collapsed else []))


def _alert(step: int, wanted: int | None) -> str:
    if wanted is None or wanted == step:
        return ""
    return f"The batch of step {wanted:,} was not looked at; this is that of step {step:,}."


PANEL = Panel(
    name="worst_items",
    title="Worst items",
    healthy="Healthy: hard items, rightly labelled. Look them up: often the label is wrong, or the item is damaged.",
    picture=picture,
    checks=(
        "data_mutation",
        "divergence",
        "label_alignment",
        "label_range",
        "loss_spike",
        "missing_values",
        "nonfinite",
    ),
    of_items=True,
)
"""The items of a batch that the network gets most wrong."""
