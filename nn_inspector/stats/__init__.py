"""Tensor in, numbers out: pure functions of torch, without state and without a wait for the device."""

from nn_inspector.stats.counting import count_in_rows
from nn_inspector.stats.finite import finite_sign, is_finite
from nn_inspector.stats.magnitudes import BINS, EXPONENTS, PATTERNS, magnitude_histogram
from nn_inspector.stats.norms import norms, sums
from nn_inspector.stats.sampling import strided_sample
from nn_inspector.stats.summable import SUM_FIELDS, add_zeros, pack_sums, unpack_sums
from nn_inspector.stats.summary import FIELDS, Summary, describe_rows, merge, summarize, summarize_rows
from nn_inspector.stats.values import (
    accumulation_type,
    exact_type,
    is_dense,
    is_plain,
    real_values,
    shape_of,
    stored_values,
)

__all__ = [
    "BINS",
    "EXPONENTS",
    "FIELDS",
    "PATTERNS",
    "SUM_FIELDS",
    "Summary",
    "accumulation_type",
    "add_zeros",
    "count_in_rows",
    "describe_rows",
    "exact_type",
    "finite_sign",
    "is_dense",
    "is_finite",
    "is_plain",
    "magnitude_histogram",
    "merge",
    "norms",
    "pack_sums",
    "real_values",
    "shape_of",
    "stored_values",
    "strided_sample",
    "summarize",
    "summarize_rows",
    "sums",
    "unpack_sums",
]
