"""A matrix of samples: one row for each of many tensors, described together in a fixed number of calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from nn_inspector.stats import (
    describe_rows,
    exact_type,
    finite_sign,
    is_dense,
    is_finite,
    is_plain,
    real_values,
    stored_values,
    strided_sample,
)

SAMPLE = 1024
"""Elements looked at in one tensor; `strided_sample` says how far a share of them may be off: 0.016 is the standard error."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The samples of one step on one device.

    Attributes:
        names: of what each row is a sample.
        sizes: how many elements each tensor has, `unstored` how many of them are zeros that a sparse one does not store, and
            `looked_at` how many of the others are in its row.
        rows: float32 or float64 [rows, width], filled up with zeros; the next samples take their place. `weights` likewise, 1
            for elements and 0 for filling.
        totals: float32 [rows]: 0 if all elements of a tensor are finite, else NaN, where its row does not hold them all.
    """

    names: list[str]
    sizes: list[int]
    unstored: list[int]
    looked_at: torch.Tensor
    rows: torch.Tensor
    weights: torch.Tensor
    totals: torch.Tensor

    def description(self) -> torch.Tensor:
        """The rows of `describe_rows`."""
        return describe_rows(self.rows, self.looked_at, self.weights)


Place = tuple[torch.device, torch.dtype]
"""Where samples are collected."""


def samples_for(known: dict[Place, Samples], tensor: torch.Tensor, rows: int) -> Samples:
    """Where samples of such a tensor are collected: one place for each device, and one for what needs float64."""
    place = (tensor.device, exact_type(tensor))
    samples = known.get(place)
    if samples is None:
        samples = known[place] = Samples(tensor.device, rows, place[1])
    return samples


class Samples:
    """Collects samples on one device. The memory is allocated once, and grows only if more tensors come than ever.

    Args:
        device: of the tensors.
        rows: so many of them are expected.
        dtype: float32, or float64 for tensors that need it.
    """

    def __init__(self, device: torch.device, rows: int, dtype: torch.dtype = torch.float32) -> None:
        self._device = device
        self._names: list[str] = []
        self._sizes: list[int] = []
        self._unstored: list[int] = []
        self._lengths: list[int] = []
        self._layout: _Layout | None = None
        self._matrix = torch.zeros(0, SAMPLE, dtype=dtype, device=device)
        self._zero = torch.zeros((), dtype=torch.float32, device=device)
        self._nan = torch.full_like(self._zero, torch.nan)
        self._totals: list[torch.Tensor] = []
        self._heads: list[torch.Tensor] = []
        self._marked = 0
        self._more: dict[str, torch.Tensor] = {}
        self._more_before: dict[str, torch.Tensor] = {}
        self._reserve(max(rows, 1))

    def __bool__(self) -> bool:
        return bool(self._names)

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Copy a sample at once: an in-place operation that follows does no harm.

        Whether all elements are finite is looked at as well, so that none that is not is missed.
        """
        values, unstored = tensor.detach(), 0
        if not is_plain(values):
            whole = type(values) is torch.Tensor and is_dense(values) and values.dtype.itemsize > 1
            values, unstored = (values, 0) if whole and not values.is_complex() else stored_values(values)
        sample, row = strided_sample(values, SAMPLE), len(self._names)
        length, size = sample.shape[0], values.numel()
        head = self._head(row, length)
        self._totals.append(self._sign(values) if length < size and values.is_floating_point() else self._zero)
        head.copy_(sample)
        self._names.append(name)
        self._sizes.append(size + unstored)
        self._unstored.append(unstored)
        self._lengths.append(length)

    def add_all(self, names: Sequence[str], tensors: Sequence[torch.Tensor], *, whole: bool = False) -> None:
        """Add many tensors that do not change before `take`.

        Args:
            names: what each is.
            tensors: as many.
            whole: whether all of them is looked at for NaN and Inf, or the samples alone.
        """
        found = [(name, *stored_values(tensor)) for name, tensor in zip(names, tensors, strict=True)]
        found = [one for one in found if one[1].numel()]
        samples = [strided_sample(values, SAMPLE) for _, values, _ in found]
        start = len(self._names)
        self._reserve(start + len(samples))
        heads = [self._head(start + row, sample.shape[0]) for row, sample in enumerate(samples)]
        torch._foreach_copy_(heads, samples)
        self._totals += [self._sign(values) if whole else self._zero for _, values, _ in found]
        self._names += [name for name, _, _ in found]
        self._sizes += [values.numel() + unstored for _, values, unstored in found]
        self._unstored += [unstored for _, _, unstored in found]
        self._lengths += [sample.shape[0] for sample in samples]

    def add_sign(self, name: str, tensor: torch.Tensor) -> None:
        """Look whether all elements are finite, and sample none: for one more tensor of a name that has samples."""
        values = real_values(tensor)
        if self._device.type != "cpu":
            sign = finite_sign(values)
            self._more[name] = self._more[name] + sign if name in self._more else sign
        elif not is_finite(values):
            self._more[name] = self._nan

    def mark(self) -> None:
        """What was collected so far may have to be forgotten."""
        self._marked, self._more_before, self._more = len(self._names), self._joined(), {}

    def forget(self) -> None:
        """Drop what was collected before the mark."""
        first, end, self._marked, self._more_before = self._marked, len(self._names), 0, {}
        if first:
            self._matrix[: end - first] = self._matrix[first:end].clone()
            self._heads = list(self._matrix.unbind(0))
            for collected in (self._names, self._sizes, self._unstored, self._lengths, self._totals):
                del collected[:first]

    def take(self) -> Taken:
        """What was collected; the next sample begins anew."""
        if self._layout is None or self._layout.lengths != self._lengths:
            self._layout = _Layout.of(self._lengths, self._device)
        rows, layout = self._matrix[: len(self._names)], self._layout
        for name, sign in self._joined().items():
            if name in self._names:
                self._totals[self._names.index(name)] = self._totals[self._names.index(name)] + sign
        totals = torch.stack(self._totals)
        taken = Taken(self._names, self._sizes, self._unstored, layout.looked_at, rows, layout.weights, totals)
        self._names, self._sizes, self._unstored, self._lengths, self._totals, self._marked = [], [], [], [], [], 0
        self._more, self._more_before = {}, {}
        return taken

    def _joined(self) -> dict[str, torch.Tensor]:
        """What `add_sign` has seen, before the mark and after it."""
        names = self._more_before.keys() | self._more.keys()
        return {n: self._more_before.get(n, self._zero) + self._more.get(n, self._zero) for n in names}

    def _sign(self, values: torch.Tensor) -> torch.Tensor:
        if self._device.type != "cpu":
            return finite_sign(values)
        return self._zero if is_finite(values) else self._nan

    def _reserve(self, rows: int) -> None:
        missing = rows - self._matrix.shape[0]
        if missing > 0:
            missing = max(missing, self._matrix.shape[0])
            more = torch.zeros(missing, SAMPLE, dtype=self._matrix.dtype, device=self._device)
            self._matrix = torch.cat([self._matrix, more])
            self._heads = list(self._matrix.unbind(0))

    def _head(self, row: int, length: int) -> torch.Tensor:
        """The part of a row that takes a sample of this length; what is behind it is filled with zeros."""
        self._reserve(row + 1)
        head = self._heads[row]
        if head.shape[0] != length:
            self._matrix[row, length:] = 0
            head = self._heads[row] = self._matrix[row, :length]
        return head


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which elements of the matrix belong to samples of these lengths; mostly the same from step to step."""

    lengths: list[int]
    looked_at: torch.Tensor
    weights: torch.Tensor

    @classmethod
    def of(cls, lengths: list[int], device: torch.device) -> _Layout:
        looked_at = torch.tensor(lengths, device="cpu").to(device, non_blocking=True)
        inside = torch.arange(SAMPLE, device=device) < looked_at[:, None]
        return cls(lengths, looked_at.to(torch.float32), inside.to(torch.float32))
