"""Tensor in, numbers out: pure functions of torch, without state and without a wait for the device."""

from nn_inspector.stats.magnitudes import BINS, EXPONENTS, magnitude_histogram
from nn_inspector.stats.norms import norms
from nn_inspector.stats.sampling import strided_sample
from nn_inspector.stats.summary import FIELDS, Summary, merge, summarize, summarize_rows

__all__ = [
    "BINS",
    "EXPONENTS",
    "FIELDS",
    "Summary",
    "magnitude_histogram",
    "merge",
    "norms",
    "strided_sample",
    "summarize",
    "summarize_rows",
]
