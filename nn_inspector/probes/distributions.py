"""Samples that reached the host, as measurements of a distribution."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch

from nn_inspector.probes.measurement import Measured, MeasurementTable, Tag
from nn_inspector.probes.merging import Merged, Read
from nn_inspector.probes.recorder import Recorder
from nn_inspector.probes.samples import Taken
from nn_inspector.stats import BINS, FIELDS, PATTERNS, SUM_FIELDS, add_zeros, pack_sums

_WIDTH = len(FIELDS) + PATTERNS
_SUMS = len(SUM_FIELDS)


def put_distributions(
    recorder: Recorder,
    prefix: str,
    what: Sequence[str],
    taken: Taken,
    *,
    merged: Merged = "sum",
    if_stepped: bool = False,
    **tags: Tag,
) -> None:
    """Describe samples and hand them on as PREFIX_mean, PREFIX_spread and so on.

    The samples of one name are taken together.

    Args:
        recorder: takes the measurements.
        prefix: what was sampled, for example "activation".
        what: which of "mean", "spread", "zeros", "nonfinite", "norm", "histogram" are wanted. "if_nonfinite" is "nonfinite"
            of those tensors alone that hold NaN or Inf.
        taken: the samples.
        merged: how the samples of several processes become one.
        if_stepped: whether they are left out where the optimizer skips the step.
        tags: of the measurements.
    """
    values = torch.cat([taken.description(), taken.totals[:, None]], dim=1)
    read = _reader(recorder.step, prefix, what, taken.names, tags)
    pack = functools.partial(_pack, taken.sizes, taken.unstored)
    label = f"{prefix} {','.join(taken.names)}"
    recorder.put(values, read, merged=merged, pack=pack, label=label, if_stepped=if_stepped)


def _pack(sizes: Sequence[int], unstored: Sequence[int], numbers: np.ndarray) -> np.ndarray:
    """Rows that may be added up: sums, histogram, whether a sum is not finite, and how many elements there are in all."""
    rows = numbers.reshape(-1, _WIDTH + 1)
    elements = np.array(sizes, dtype=np.float64)
    packed = pack_sums(rows[:, :_WIDTH], ~np.isfinite(rows[:, _WIDTH]), elements)
    if any(unstored):
        zeros = np.array(unstored, dtype=np.float64)
        add_zeros(packed, packed[:, 0] * zeros / (elements - zeros))  # as many as go with a sample of the others
    return packed.reshape(-1)


def _reader(step: int, prefix: str, what: Sequence[str], names: Sequence[str], tags: dict[str, Tag]) -> Read:
    def read(numbers: np.ndarray) -> list[Measured]:
        distinct, rows = _by_name(names, numbers.reshape(len(names), -1))
        found = _describe(rows)
        scalars = [name for name in what if name in found]
        quantities, sources = tuple(f"{prefix}_{name}" for name in scalars), tuple(distinct)
        tables = [MeasurementTable(step, quantities, sources, np.stack([found[name] for name in scalars]), tags)]
        if "histogram" in what:
            histograms = rows[None, :, _SUMS : _SUMS + BINS].copy()
            tables.append(MeasurementTable(step, (f"{prefix}_histogram",), sources, histograms, tags))
        if "if_nonfinite" in what:
            (broken,) = found["nonfinite"].nonzero()
            spoiled = tuple(sources[place] for place in broken)
            table = MeasurementTable(step, (f"{prefix}_nonfinite",), spoiled, found["nonfinite"][None, broken], tags)
            tables += [table] if spoiled else []
        return [*tables]

    return read


def _by_name(names: Sequence[str], rows: np.ndarray) -> tuple[list[str], np.ndarray]:
    distinct = list(dict.fromkeys(names))
    if len(distinct) == len(names):
        return distinct, rows
    place = {name: number for number, name in enumerate(distinct)}
    places = [place[name] for name in names]
    added = np.zeros((len(distinct), rows.shape[1]))
    np.add.at(added, places, rows)
    return distinct, added


def _describe(rows: np.ndarray) -> dict[str, np.ndarray]:
    count, nan, inf, zeros, total, squares = rows[:, :_SUMS].T
    nonfinite, missed, elements = nan + inf, rows[:, -2], rows[:, -1]
    n = np.maximum(count - nonfinite, 1)
    mean, share = total / n, nonfinite / count
    if missed.any():
        share = np.where(missed > 0, np.maximum(share, 1 / elements), share)
    with np.errstate(invalid="ignore"):  # squares of float64 may be beyond its range
        spread = np.sqrt(np.maximum(squares / n - mean**2, 0.0))
    return {
        "mean": mean,
        "spread": spread,
        "zeros": zeros / count,
        "nonfinite": share,
        "norm": np.sqrt(squares / n * elements),
    }
