"""Values as bytes, and back with every size checked: the bytes may come from a stranger."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from nn_inspector.history.levels import FACTOR, chunk_size
from nn_inspector.history.series import Series

WIDEST = 8192
"""Vectors up to this width are kept in a file."""

MOST_IN_TAIL = 1 << 24
"""No row of the tail holds more numbers than this."""

MOST_BYTES = 8 * MOST_IN_TAIL + (1 << 20)
"""No blob is larger than this."""


class BlobError(ValueError):
    """The bytes are not what their row says they are."""


@dataclass(frozen=True, slots=True)
class Tail:
    """Values of many series, all of one width, in the order in which they came.

    Attributes:
        series: int32 [values]: the number of the series.
        steps: int64 [values].
        values: float64 [values], or [values, width] of vectors.
    """

    series: np.ndarray
    steps: np.ndarray
    values: np.ndarray


def pack_tail(tail: Tail) -> bytes:
    """The newest values, as they come."""
    parts = (tail.series.astype("<i4"), tail.steps.astype("<i8"), tail.values.astype("<f8"))
    return b"".join(part.tobytes() for part in parts)


def unpack_tail(data: bytes, count: int, width: int) -> Tail:
    """The way back from `pack_tail`.

    Raises:
        BlobError: the bytes are not `count` values of `width`.
    """
    numbers = count * max(1, width)
    if not 0 < count <= MOST_IN_TAIL or not 0 <= width <= WIDEST or numbers > MOST_IN_TAIL:
        raise BlobError(f"{count} values of width {width} in one row")
    if len(data) != 12 * count + 8 * numbers:
        raise BlobError(f"{len(data)} bytes for {count} values of width {width}")
    values = np.frombuffer(data, "<f8", numbers, 12 * count).astype(np.float64)
    return Tail(
        np.frombuffer(data, "<i4", count).astype(np.int64),
        np.frombuffer(data, "<i8", count, 4 * count).astype(np.int64),
        values.reshape(count, width) if width else values,
    )


def pack_chunk(points: Series, level: int) -> tuple[bytes, int]:
    """A chunk as compressed bytes, and the bytes that each of its numbers takes.

    Steps are stored as differences; numbers in 4 bytes where all of them are the same in 8, as what torch measures is.
    """
    numbers = np.stack([points.values, points.low, points.high] if level else [points.values])
    with np.errstate(over="ignore", invalid="ignore"):
        small = numbers.astype("<f4")
    fits = np.array_equal(small.astype(np.float64), numbers, equal_nan=True)
    steps = np.diff(points.steps, prepend=points.steps[:1]).astype("<i8")
    packed = small if fits else numbers.astype("<f8")
    return zlib.compress(steps.tobytes() + packed.tobytes(), 1), packed.itemsize


def unpack_chunk(data: bytes, *, count: int, width: int, level: int, size: int, first_step: int) -> Series:
    """The way back from `pack_chunk`.

    Raises:
        BlobError: the bytes are not `count` values or buckets of `width`, each number of `size` bytes.
    """
    if not 0 <= width <= WIDEST or not 0 < count <= chunk_size(width) or size not in (4, 8) or not 0 <= level < 20:
        raise BlobError(f"{count} values of width {width} in {size} bytes each at level {level}")
    kinds = 3 if level else 1
    numbers = kinds * count * max(1, width)
    raw = _decompress(data, 8 * count + size * numbers)
    steps = np.cumsum(np.frombuffer(raw, "<i8", count), dtype=np.int64) + first_step
    values = np.frombuffer(raw, f"<f{size}", numbers, 8 * count).astype(np.float64)
    values = values.reshape(kinds, count, width) if width else values.reshape(kinds, count)
    if not level:
        return Series.exact(steps, values[0])
    return Series(steps, values[0], values[1], values[2], np.full(count, FACTOR**level, dtype=np.int64))


def _decompress(data: bytes, expected: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(data, expected + 1)
    except zlib.error as error:
        raise BlobError(str(error)) from error
    if len(raw) != expected or not stream.eof:
        raise BlobError(f"{len(raw)} bytes or more where {expected} were expected")
    return raw
