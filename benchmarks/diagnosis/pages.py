"""`python -m benchmarks.diagnosis.pages`: writes the page of each check, from the catalogue and from what was measured."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.diagnosis.figures import Figures
from benchmarks.diagnosis.table import table
from nn_inspector import CheckInfo, catalog
from nn_inspector.checks import STAGES

FOLDER = Path(__file__).parents[2] / "docs" / "checks"
FIGURES = FOLDER / "figures.json"


def pages(figures: Figures) -> dict[str, str]:
    """The text of each page, by the name of its file."""
    infos = catalog()
    return {"README.md": _overview(infos, figures), **{f"{info.name}.md": _page(info, figures) for info in infos}}


def write(figures: Figures) -> None:
    """Write all pages, and take away those of checks that are gone."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    texts = pages(figures)
    for old in FOLDER.glob("*.md"):
        if old.name not in texts:
            old.unlink()
    for name, text in texts.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def _overview(infos: list[CheckInfo], figures: Figures) -> str:
    pieces = [
        "# The checks",
        (
            "What each of them asks, in the order of the checklist. *Passive* checks read what was recorded. *Active* ones make "
            "an experiment on a copy; your model, optimizer and random numbers stay as they are."
        ),
        *_by_stage(infos, figures),
        "## How good the diagnosis is",
        (
            f"Each training of the suite was watched, run to its end and diagnosed with `diagnose()`: {sum(part.broken for part in figures.parts.values())} "
            f"broken ones, and {sum(part.sound for part in figures.parts.values())} sound ones (their repaired twins among them). *Noticed* means that an error or a warning "
            "names the cause or a symptom of it. One training in five was kept apart while thresholds were set."
        ),
        figures.table,
        *_beside(figures),
        f"Measured with {figures.made}, by `{figures.command}`.",
    ]
    return "\n\n".join(pieces) + "\n"


def _beside(figures: Figures) -> Iterator[str]:
    if figures.beside:
        yield "### Beside other tools"
        yield (
            "On the trainings that were kept apart. Others do not name causes: each of their findings counts as the check that "
            "asks about the same thing ([how](../../benchmarks/diagnosis/peers.py))."
        )
        yield figures.beside


def _by_stage(infos: list[CheckInfo], figures: Figures) -> Iterator[str]:
    for stage, about in STAGES.items():
        rows = [
            [f"[{info.name}]({info.name}.md)", info.kind, info.question, *_false_alarms(info.name, figures)]
            for info in infos
            if info.stage == stage
        ]
        if rows:
            yield f"## {stage}: {about.lower()}"
            alarms = [f"false alarms: {title.lower()}" for title in figures.parts]
            yield table(["check", "", "what it asks", *alarms], rows, aligned="left")


def _page(info: CheckInfo, figures: Figures) -> str:
    kind = (
        "It makes an experiment on a copy."
        if info.kind == "active"
        else "It reads what was recorded, and may settle it on a copy."
    )
    pieces = [
        f"# {info.name}",
        f"**{info.question}**",
        f"Stage: {STAGES[info.stage]} ({info.stage}). {kind}",
        f"## Why it matters\n\n{info.why}",
        f"## How it looks\n\n{info.how}",
        f"## What to do\n\n{info.remedy}",
        f"## How often it is wrong\n\n{_measured(info.name, figures)}",
        _related(info),
        "## Where it comes from\n\n" + "\n".join(f"- {source}" for source in info.sources) if info.sources else "",
        f'`inspector.check("{info.name}")` makes it, `nni.explain("{info.name}")` prints this. [All checks](README.md)',
    ]
    return "\n\n".join(piece for piece in pieces if piece) + "\n"


def _measured(name: str, figures: Figures) -> str:
    """What a check did in the suite: a column for each part."""
    parts = [(part.broken, part.check(name)) for part in figures.parts.values()]
    rows = [
        ["false alarms on sound trainings, of those where it looked", *_false_alarms(name, figures)],
        ["broken trainings", *(str(broken) for broken, _ in parts)],
        ["it named the cause", *(str(entry.right) for _, entry in parts)],
        ["it named a symptom", *(str(entry.beside) for _, entry in parts)],
        ["it named something else", *(str(entry.wrong) for _, entry in parts)],
        ["it could have named the cause, and no check did", *(str(entry.missed) for _, entry in parts)],
    ]
    return f"{table(['', *figures.parts], rows)}\n\nErrors and warnings count. Measured by `{figures.command}`."


def _related(info: CheckInfo) -> str:
    known = {other.name for other in catalog()}
    links = [f"[{name}]({name}.md)" for name in dict.fromkeys(info.explains) if name in known]
    return f"## What it explains\n\nIf it is the cause, these are its symptoms: {', '.join(links)}." if links else ""


def _false_alarms(name: str, figures: Figures) -> list[str]:
    return [str(part.check(name).false) for part in figures.parts.values()]


if __name__ == "__main__":
    write(Figures.read(FIGURES))
    print(f"Wrote {FOLDER}", file=sys.stderr)
