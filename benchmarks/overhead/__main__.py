"""`python -m benchmarks.overhead`: measure, and print the table as Markdown."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import nn_inspector
from benchmarks.overhead.measure import Measured, measure
from benchmarks.overhead.memory import hold_memory
from benchmarks.overhead.ours import NOTHING, OURS
from benchmarks.overhead.peers import PEERS
from benchmarks.overhead.problems import PROBLEMS, Problem
from benchmarks.overhead.table import Outcome, table
from benchmarks.overhead.variant import Variant

VARIANTS: Mapping[str, Variant] = {variant.name: variant for variant in (NOTHING, *OURS, *PEERS)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    Returns:
        0, or 1 if a variant that could be measured failed.
    """
    options = _parser().parse_args(arguments)
    threads_before = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    try:
        variants = [VARIANTS[name] for name in options.variants]
        print(f"{' · '.join(f'{key} {value}' for key, value in _machine(variants, options.device).items())}\n")
        results = {name: _measure_all(PROBLEMS[name], variants, options) for name in options.models}
        if options.json is not None:
            options.json.write_text(
                json.dumps(_as_json(_machine(variants, options.device), results), indent=1), encoding="utf-8"
            )
    finally:
        torch.set_num_threads(threads_before)
    return int(any(_failed(outcome) for outcomes in results.values() for outcome in outcomes.values()))


def _measure_all(problem: Problem, variants: Sequence[Variant], options: argparse.Namespace) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    for variant in variants:
        outcome = variant.unavailable or _measure(problem, variant, options)
        found = outcome if isinstance(outcome, str) else f"{outcome.ratio:.3f}"
        print(f"{problem.name}, {variant.name}: {found}", file=sys.stderr, flush=True)
        outcomes[variant.name] = outcome
    print(table(problem, variants, outcomes), flush=True)
    return outcomes


def _measure(problem: Problem, variant: Variant, options: argparse.Namespace) -> Outcome:
    try:
        return measure(problem, variant, pairs=options.pairs, device=options.device)
    except Exception as error:  # noqa: BLE001 - a peer that fails on one network is a row of the table
        return f"failed: {type(error).__name__}: {error}"


def _failed(outcome: Outcome) -> bool:
    return isinstance(outcome, str) and outcome.startswith("failed")


def _machine(variants: Sequence[Variant], device: torch.device) -> dict[str, Any]:
    """What the numbers depend on."""
    found: dict[str, Any] = {
        "nn_inspector": nn_inspector.__version__,
        "torch": torch.__version__,
        "Python": platform.python_version(),
        "processor": f"{platform.machine()} with {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
    }
    if device.type == "cuda":
        found["device"] = torch.cuda.get_device_name(device)
    return found | {variant.package: variant.version for variant in variants if variant.package and variant.version}


def _as_json(machine: dict[str, Any], results: Mapping[str, Mapping[str, Outcome]]) -> dict[str, Any]:
    rows = [
        {**dataclasses.asdict(outcome), "ratio": outcome.ratio, "quartiles": outcome.quartiles}
        if isinstance(outcome, Measured)
        else {"problem": problem, "variant": variant, "not_measured": outcome}
        for problem, outcomes in results.items()
        for variant, outcome in outcomes.items()
    ]
    return {"machine": machine, "results": rows}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS), metavar="NAME")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--pairs", type=int, default=15, help="pairs of blocks, watched and not (default 15)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="train there (default cpu)")
    parser.add_argument("--json", type=lambda name: Path(name).resolve(), metavar="FILE", help="write all numbers here")
    return parser


if __name__ == "__main__":
    hold_memory()
    sys.exit(main())
