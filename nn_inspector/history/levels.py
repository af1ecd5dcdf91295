"""Levels of detail of a long series: which of them to read for a picture of all of it.

Values are numbered 0, 1, 2, ... Level 0 holds each value; a bucket of level k stands for `FACTOR ** k` of them. Values and
buckets lie in chunks of a fixed number; when a chunk is full it is reduced into the level above. Reading takes detail at
both ends and ever larger buckets towards the middle, so that the number of chunks read grows with the logarithm of the
length only.
"""

from __future__ import annotations

from dataclasses import dataclass

FACTOR = 8
"""So many values or buckets become one bucket of the level above."""

CHUNK = 512
"""Values or buckets in a full chunk; so many first values, and at least twice so many latest, are read exactly."""

VECTOR_CHUNK = 64
"""The same for vectors, which are a hundred times as large."""


@dataclass(frozen=True, slots=True)
class Share:
    """The values from `start` to before `stop`, to be read from `level`."""

    level: int
    start: int
    stop: int


def chunk_size(width: int) -> int:
    """Values in a full chunk of a series of numbers (width 0) or of vectors."""
    return VECTOR_CHUNK if width else CHUNK


def plan(total: int, chunk: int) -> list[Share]:
    """Where to read each of `total` values from, in order.

    Every bound is one at which the level's buckets begin, and is not beyond what has been reduced into that level.

    Example:
        >>> plan(700, 512)
        [Share(level=0, start=0, stop=700)]
        >>> [share.level for share in plan(1_000_000, 512)]
        [0, 1, 2, 3, 2, 1, 0]
    """
    top = 0
    while total > 4 * chunk * FACTOR**top:
        top += 1
    heads = [chunk * FACTOR**level for level in range(top)]
    stops = [total]
    for level in range(1, top + 1):
        exact = 2 * chunk if level == 1 else 0
        unit = heads[level - 1]
        stops.append(max((stops[-1] - exact) // unit * unit, unit))
    shares = [Share(level, heads[level - 1] if level else 0, heads[level]) for level in range(top)]
    shares.append(Share(top, heads[-1] if top else 0, stops[top]))
    shares += [Share(level, stops[level + 1], stops[level]) for level in reversed(range(top))]
    return [share for share in shares if share.start < share.stop]
