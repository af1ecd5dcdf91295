"""`python -m benchmarks.diagnosis`: diagnose every training of the suite, and print the figures as Markdown."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import nn_inspector
from benchmarks.diagnosis import pages
from benchmarks.diagnosis.answer import Watcher, ours_active, ours_passive, watched_by_us
from benchmarks.diagnosis.counting import Outcome, check_scores, score, verdict
from benchmarks.diagnosis.figures import TITLES, Figures
from benchmarks.diagnosis.kept import OURS, Kept
from benchmarks.diagnosis.peers import PEERS
from benchmarks.diagnosis.processes import LIMIT, answers
from benchmarks.diagnosis.table import by_check, summary
from benchmarks.diagnosis.targets import missed
from benchmarks.diagnosis.tasks import PARTS, Task, all_tasks


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    Returns:
        0, or 1 if some training got no answer or none was chosen, or if the targets that are to hold are missed.
    """
    options = _parser().parse_args(arguments)
    parts = PARTS if options.part == "all" else (options.part,)
    if options.docs and (options.part != "all" or options.only or options.broken or not options.active):
        print(
            "--docs wants figures of all trainings: leave out --part, --only, --broken and --passive.", file=sys.stderr
        )
        return 1
    if options.show is not None:
        return _show(options.show, options.seeds[0], active=options.active)
    tasks = all_tasks(seeds=options.seeds, only=options.only, parts=parts, sound=not options.broken)
    if not tasks:
        print(f"No training matches --only {options.only!r} in --part {options.part}.", file=sys.stderr)
        return 1
    print(f"nn_inspector {nn_inspector.__version__}, torch {torch.__version__}: {len(tasks)} trainings\n", flush=True)
    outcomes = _run(tasks, options, OURS, ours_active if options.active else ours_passive)
    print(_tables(outcomes))
    beside = ""
    if options.peers:
        apart = [task for task in tasks if task.part == "held-out"] if options.docs else tasks
        beside = _beside_peers(apart, outcomes, options)
        print(f"\n### Beside others\n\n{beside}")
    if options.docs:
        figures = Figures.of(outcomes, beside)
        pages.FOLDER.mkdir(parents=True, exist_ok=True)
        figures.write(pages.FIGURES)
        pages.write(figures)
    if options.json is not None:
        options.json.write_text(json.dumps(_as_json(outcomes), indent=1), encoding="utf-8")
    return int(any(answer.failure is not None for _, answer in outcomes) or (options.hold and not _hold(outcomes)))


def _run(tasks: Sequence[Task], options: argparse.Namespace, name: str, watcher: Watcher) -> list[Outcome]:
    kept = Kept(options.keep)
    found: list[Outcome] = kept.answers(tasks, name)
    done = {task for task, _ in found}
    left = [task for task in tasks if task not in done]
    for task, answer in answers(left, watcher, jobs=options.jobs, limit=options.limit):
        found.append((task, answer))
        kept.add(task, answer, name)
        line = f"[{len(found)}/{len(tasks)}] {name}: {task.name}: {verdict(task, answer)}"
        print(line, file=sys.stderr, flush=True)
    order = {task: index for index, task in enumerate(tasks)}
    return sorted(found, key=lambda outcome: order[outcome[0]])


def _hold(outcomes: Sequence[Outcome]) -> bool:
    """Whether the targets hold for the trainings that were kept apart, or for all where none of those was chosen."""
    apart = [outcome for outcome in outcomes if outcome[0].part == "held-out"]
    sentences = missed(score(apart or outcomes))
    for sentence in sentences:
        print(f"Missed: {sentence}", file=sys.stderr)
    return not sentences


def _beside_peers(tasks: Sequence[Task], ours: Sequence[Outcome], options: argparse.Namespace) -> str:
    """A table of this project and the others on the same trainings."""
    chosen = set(tasks)
    columns = {OURS: score([outcome for outcome in ours if outcome[0] in chosen])}
    columns |= {name: score(_run(tasks, options, name, watcher)) for name, watcher in PEERS.items()}
    return summary(columns, timed=False)


def _tables(outcomes: Sequence[Outcome]) -> str:
    by_part = {part: [outcome for outcome in outcomes if outcome[0].part == part] for part in PARTS}
    present = {part: found for part, found in by_part.items() if found}
    pieces = [summary({TITLES[part]: score(found) for part, found in present.items()})]
    for part, found in present.items():
        pieces += [f"### {TITLES[part]}", by_check(check_scores(found))]
    return "\n\n".join(pieces)


def _show(name: str, seed: int, *, active: bool) -> int:
    """Print the whole diagnosis of a training and of its twin."""
    tasks = [task for task in all_tasks(seeds=(seed,)) if task.id == name]
    if not tasks:
        known = ", ".join(sorted({task.id for task in all_tasks()}))
        print(f"There is no training {name!r}. There are: {known}.", file=sys.stderr)
        return 1
    torch.set_num_threads(1)
    for task in tasks:
        scene = task.build()
        with contextlib.redirect_stdout(io.StringIO()):
            diagnosis, seconds = watched_by_us(scene, active=active)
        wanted = f"\nright answers: {', '.join(sorted(task.causes))}" if task.causes else ""
        print(f"== {task.name}, {task.kind}, {task.part}{wanted}\n{diagnosis}\n{seconds:.2f} s\n", flush=True)
    return 0


def _as_json(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    return [
        {
            "id": task.id,
            "kind": task.kind,
            "role": task.role,
            "part": task.part,
            "seed": task.seed,
            "causes": sorted(task.causes),
            **answer.to_json(),
            "verdict": verdict(task, answer),
        }
        for task, answer in outcomes
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diagnosis", description=__doc__)
    parser.add_argument("--only", default="", metavar="PATTERN", help="regular expression for ids, kinds or causes")
    parser.add_argument(
        "--part", choices=[*PARTS, "all"], default="all", help="what thresholds were set on, or the rest"
    )
    parser.add_argument("--broken", action="store_true", help="leave out repaired twins and sound trainings")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="default 0")
    parser.add_argument("--active", action="store_true", default=True, help="with experiments (the default)")
    parser.add_argument("--passive", dest="active", action="store_false", help="without experiments")
    parser.add_argument(
        "--peers",
        action="store_true",
        help="other tools on the same trainings as well; with --docs on those that were kept apart",
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (default 2)")
    parser.add_argument("--limit", type=float, default=LIMIT, metavar="SECONDS", help=f"for a training ({LIMIT:g})")
    parser.add_argument(
        "--keep",
        type=lambda name: Path(name).resolve(),
        metavar="FILE",
        help="keep answers here as they come, and do not ask again for those that it holds",
    )
    parser.add_argument("--json", type=lambda name: Path(name).resolve(), metavar="FILE", help="write all answers here")
    parser.add_argument(
        "--docs", action="store_true", help="write the figures into docs/checks, with a page for each check"
    )
    parser.add_argument(
        "--hold",
        action="store_true",
        help="end with 1 if the trainings that were kept apart, or the chosen ones where none of these is among them, miss the "
        "targets (benchmarks/diagnosis/targets.py)",
    )
    parser.add_argument("--show", metavar="ID", help="print the whole diagnosis of one training and of its twin")
    return parser


if __name__ == "__main__":
    sys.exit(main())
