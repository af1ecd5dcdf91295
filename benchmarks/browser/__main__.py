"""`python -m benchmarks.browser`: measure, and print the table as Markdown."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
from collections.abc import Sequence

from benchmarks.browser.measures import MEASURES, USUAL, Figure


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    Returns:
        0, or 1 if a figure is not what it should be.
    """
    options = _parser().parse_args(arguments)
    print(f"{_machine()}\n\n| | measured | wanted | |\n|---|---:|---:|---|", flush=True)
    figures: list[Figure] = []
    for name in options.measures:
        print(f"{name} ...", file=sys.stderr, flush=True)
        found = MEASURES[name](options)
        figures += found
        for figure in found:
            print(f"| {figure.name} | {figure.value:.3g} | {figure.wanted} | {_sign(figure)} |", flush=True)
    return int(not all(figure.good for figure in figures))


def _sign(figure: Figure) -> str:
    """Whether it is as wanted, where something is."""
    return "" if not figure.wanted else "✔" if figure.good else "✖"


def _machine() -> str:
    packages = ("jupyterlab", "ipykernel", "ipywidgets", "bqplot", "torch")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} at the start, Python {platform.python_version()}, {versions}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.browser", description=__doc__)
    parser.add_argument("--measures", nargs="+", choices=MEASURES, default=list(USUAL), help="what is measured")
    parser.add_argument("--seconds", type=float, default=60.0, help="of live training")
    parser.add_argument("--minutes", type=float, default=30.0, help="of updates that are seen")
    parser.add_argument("--updates", type=int, default=1500, help="while hidden")
    parser.add_argument("--steps", type=int, default=1_000_000, help="of the run to travel in")
    return parser


if __name__ == "__main__":
    sys.exit(main())
