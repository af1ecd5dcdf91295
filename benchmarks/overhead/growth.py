"""`python -m benchmarks.overhead.growth`: what a measured step costs by the size of the network, and after how many steps.

Processor time of a training that is measured at every step, less that of one without a watcher, the two in turn in short
blocks; the median of the differences. Prints two tables as Markdown, in some five minutes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

import nn_inspector as nni
from benchmarks.overhead.loop import Loop
from benchmarks.overhead.memory import hold_memory
from benchmarks.overhead.problems import CLASSES, Problem

SIZES = ((4, 64), (16, 64), (64, 64), (4, 256), (4, 1024), (4, 2048))
"""Layers, and units in each."""

PLACES = (1_000, 6_000)
"""Steps done when the cost is looked at."""

BATCH = 32
_PAIRS, _BLOCK = 15, 4
_CPU = torch.device("cpu")


def main() -> None:
    """Measure, and print the tables."""
    torch.set_num_threads(1)
    print("| layers x units | parameters | activations | ms a measured step more | for a million of both |")
    print("|---|--:|--:|--:|--:|")
    for layers, units in SIZES:
        problem = perceptron(layers, units)
        plain, watched = Loop(problem, _CPU), Loop(problem, _CPU)
        activations = 2 * layers * units * BATCH
        with nni.watch(watched.model, watched.optimizer, watched.loss_fn, every=1, show=False):
            more = _more(plain, watched)
        million = 1000 * more / ((plain.parameters + activations) / 1e6)
        print(
            f"| {layers} x {units} | {plain.parameters:,} | {activations:,} | {1000 * more:.2f} | {million:.2f} |",
            flush=True,
        )
    print("\n| steps done | ms a measured step more |\n|--:|--:|")
    problem = perceptron(*SIZES[0])
    plain, watched = Loop(problem, _CPU), Loop(problem, _CPU)
    with nni.watch(watched.model, watched.optimizer, watched.loss_fn, every=1, show=False) as inspector:
        for place in PLACES:
            watched.run(place - inspector.run.steps)
            print(f"| {place:,} | {1000 * _more(plain, watched):.2f} |", flush=True)


def perceptron(layers: int, units: int) -> Problem:
    """A network of so many linear layers, each with ReLU, that is as wide everywhere."""

    def network() -> nn.Module:
        hidden = [part for _ in range(layers) for part in (nn.Linear(units, units), nn.ReLU())]
        return nn.Sequential(*hidden, nn.Linear(units, CLASSES))

    def inputs(generator: torch.Generator) -> torch.Tensor:
        return torch.randn(BATCH, units, generator=generator)

    return Problem(f"{layers}x{units}", f"{layers} layers of {units} units", network, inputs)


def _more(plain: Loop, watched: Loop) -> float:
    """Seconds of a processor that a watched step needs more."""
    for loop in (plain, watched):
        loop.run(2 * _BLOCK)
    differences = []
    for _ in range(_PAIRS):
        without, with_it = (_seconds(lambda loop=loop: loop.run(_BLOCK)) for loop in (plain, watched))
        differences.append((with_it - without) / _BLOCK)
    return statistics.median(differences)


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    hold_memory()
    main()
