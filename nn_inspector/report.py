"""One HTML file with all that is known of a run: it needs no network, no kernel and no JupyterLab."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from nn_inspector.checks import STAGES, catalog, find_check
from nn_inspector.diagnosis import Diagnosis, ranked
from nn_inspector.errors import ArgumentError, describe
from nn_inspector.history import Chart, Finding, Run
from nn_inspector.history.finding_html import badge_html, finding_html, list_html, symptoms_html
from nn_inspector.panels.chart_image import png, png_tag
from nn_inspector.panels.choice import PANELS
from nn_inspector.panels.in_words import in_words
from nn_inspector.panels.panel import Selection

MOST_CHARTS = 12
"""So many findings have their evidence drawn: the file stays below 2 MB."""

MOST_ROWS = 60
"""A table that is longer is folded away, and is not unfolded when the page is printed."""

_MOST_NAMES = 12
"""So many of a list stand in a row."""

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881;
  --jp-error-color1: light-dark(#c62828, #ff8a80); --jp-warn-color0: light-dark(#8a5200, #ffb74d);
  --jp-info-color0: light-dark(#005a8c, #7cc4f5); --jp-success-color0: light-dark(#00695c, #4db6ac);
  --jp-ui-font-color2: light-dark(#555, #b0b0b0) }
html { background: light-dark(#fff, #161616); color: light-dark(#1c1c1c, #e8e8e8) }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; margin: .5rem 0 } h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line) }
img { max-width: 100%; background: #fff; border-radius: 4px } figure { margin: 0 } figcaption { font-size: .9rem }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.5rem }
.finding { border-left: 3px solid var(--line); padding: .25rem 0 .25rem 1rem; margin: 1.5rem 0; break-inside: avoid }
pre { white-space: pre-wrap; background: var(--soft) !important; color: inherit !important }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0 }
th { font-weight: 600; width: min(14rem, 40%) } tr { border-bottom: 1px solid var(--line) }
@media print { details:not(.long) { display: block } details:not(.long) > * { display: block } figure { break-inside: avoid } }
@media print { details:not(.long)::details-content { content-visibility: visible; block-size: auto } }
""".strip()


def write_report(run: Run, path: str | os.PathLike[str], *, layer: str | None = None) -> Path:
    """Write what is known of a run into one HTML file: findings, the checklist with its answers, pictures, parameters.

    Args:
        run: a running or finished one, also from `open_run()`.
        path: where to; an older report there is replaced.
        layer: which one stands out in the pictures; None: the activations of the last one are shown.

    Returns:
        The path.

    Raises:
        ArgumentError: `path` is no path, or its folder does not exist.
    """
    if not isinstance(path, str | os.PathLike):
        raise ArgumentError("path", expected="a file name", got=describe(path), advice='Write "report.html".')
    file = Path(path).expanduser()
    if not file.parent.is_dir() or file.is_dir():
        got = f"the folder {file}" if file.is_dir() else f"{file}, whose folder does not exist"
        raise ArgumentError("path", expected="a file in a folder that exists", got=got, advice='Write "report.html".')
    selection = Selection(layer=layer, log_loss=False)
    file.write_text(report_html(run, selection), encoding="utf-8")
    return file


def report_html(run: Run, selection: Selection) -> str:
    """The whole page."""
    diagnosis = Diagnosis(ranked(run.findings), {})
    title = escape(f"{run.parameters.get('model', 'A network')}: {run.name}")
    body = "".join(
        (
            f"<h1>{title}</h1>",
            *_standing(run),
            *_findings(diagnosis),
            *_checklist(run.findings),
            *_pictures(run, selection),
            *_facts(run),
        )
    )
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style>"
    )
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _standing(run: Run) -> Iterator[str]:
    epochs = run.epochs("train")
    said = [f"{run.steps:,} steps"] + ([f"{epochs[-1].number + 1:,} epochs"] if epochs else [])
    for source, word in (("train", "loss"), ("validation", "validation loss")):
        value = run.last("loss", source)
        said += [f"{word} {value:.4g}"] if value is not None else []
    started = run.metadata.get("started")
    said += [f"started {started}"] if started else []
    yield f"<p>{escape(' · '.join(said))}</p>"
    if run.motivation:
        yield f"<p><b>Why this training.</b> {escape(run.motivation)}</p>"


def _findings(diagnosis: Diagnosis) -> Iterator[str]:
    yield "<h2>What was found</h2>"
    if not diagnosis.findings:
        yield "<p>No check has been made yet: <code>inspector.diagnose()</code> makes them all.</p>"
        return
    causes = diagnosis.causes
    headline = "1 likely cause was found" if len(causes) == 1 else f"{len(causes)} likely causes were found"
    yield f"<p><b>{headline if causes else 'Nothing wrong was found'}.</b></p>"
    for number, cause in enumerate(causes):
        picture = _evidence(cause) if number < MOST_CHARTS else ""
        yield f'<div class="finding">{finding_html(cause)}{picture}</div>'
    yield symptoms_html([finding for finding in diagnosis.findings if finding.raised and finding not in causes])


def _checklist(findings: Sequence[Finding]) -> Iterator[str]:
    """Every question of the wizard with its answer, by stage."""
    if not findings:
        return
    answers = {finding.check: finding for finding in findings}
    steps = catalog()
    made = sum(step.name in answers for step in steps)
    yield f"<h2>The checklist</h2><p>{made} of {len(steps)} steps of the wizard were made.</p>"
    for stage, title in STAGES.items():
        asked = [step for step in steps if step.stage == stage]
        if not asked:
            continue
        done = sum(step.name in answers for step in asked)
        rows = ((step.question, _answer(answers.get(step.name))) for step in asked)
        yield f"<details><summary>{escape(title)}: {done} of {len(asked)} made</summary>{_table(rows)}</details>"
    names = {step.name for step in steps}
    own = [finding for finding in findings if finding.check not in names]
    if own:
        yield f"<details><summary>Checks of your own</summary>{list_html(own)}</details>"


def _answer(finding: Finding | None) -> str:
    if finding is None:
        return "not made yet"
    return f"{badge_html(finding.severity)} {escape(finding.message)}"


def _evidence(finding: Finding) -> str:
    try:
        chart = find_check(finding.check).chart(finding)
    except ArgumentError:  # a check of the user's that is not registered here
        return ""
    return _figure("Evidence", chart) if chart is not None and not chart.empty else ""


def _pictures(run: Run, selection: Selection) -> Iterator[str]:
    charts = [(panel, panel.chart(run, selection)) for panel in PANELS]
    shown = [_figure(panel.title, chart, panel.healthy) for panel, chart in charts if not chart.empty]
    if shown:
        yield f'<h2>What happened inside</h2><div class="pictures">{"".join(shown)}</div>'


def _figure(title: str, chart: Chart, text: str = "") -> str:
    caption = " ".join(part for part in (text, chart.note) if part)
    image = png_tag(png([(title, chart)], columns=1), f"{title}: {in_words(chart)}")
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _facts(run: Run) -> Iterator[str]:
    notes = run.metadata.get("notes") or []
    if notes:
        said = ((f"step {note.get('step')}", escape(str(note.get("what", note)))) for note in notes)
        yield f"<h2>What was changed meanwhile</h2>{_table(said)}"
    modules, own = (run.parameters.get(name, {}) for name in ("modules", "own_parameters"))
    facts = {
        name: list(_rows({name: value}))
        for name, value in run.parameters.items()
        if name not in ("modules", "own_parameters")
    }
    yield f"<h2>The training</h2>{_table(row for rows in facts.values() if len(rows) <= MOST_ROWS for row in rows)}"
    for name, rows in facts.items():
        if len(rows) > MOST_ROWS:
            yield _folded(f"{name.replace('_', ' ')}: {len(rows)} rows", rows)
    if modules:
        yield _folded(f"{len(modules)} modules", [_module(name, kind, own.get(name)) for name, kind in modules.items()])
    surroundings = {name: value for name, value in run.metadata.items() if name not in ("notes", "cells")}
    yield _folded("Versions and surroundings", list(_rows(surroundings)))
    cells = run.metadata.get("cells") or []
    if cells:
        code = "\n\n".join(map(str, cells))
        yield f"<details><summary>The notebook's cells</summary><pre>{escape(code)}</pre></details>"


def _module(name: str, kind: object, own: object) -> tuple[str, str]:
    parameters = f", {own:,} parameters of its own" if isinstance(own, int) else ""
    return name or "(the network)", escape(f"{kind}{parameters}")


def _folded(summary: str, rows: Sequence[tuple[str, str]]) -> str:
    long = ' class="long"' if len(rows) > MOST_ROWS else ""
    return f"<details{long}><summary>{escape(summary)}</summary>{_table(rows)}</details>"


def _rows(values: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    """Nested facts as one row each: (name, HTML)."""
    for name, value in values.items():
        label = f"{place} {name}".strip()
        if isinstance(value, Mapping):
            yield from _rows(value, label)
        elif isinstance(value, list) and value and all(isinstance(part, Mapping) for part in value):
            for number, part in enumerate(value):
                yield from _rows(part, f"{label} {number}")
        else:
            text = _names(value) if isinstance(value, list) else str(value)
            yield label.replace("_", " "), escape(text)


def _names(values: Sequence[object]) -> str:
    """A list in a line.

    Example:
        >>> _names([0.9, 0.999])
        '0.9, 0.999'
        >>> _names(range(100))
        '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 88 more'
    """
    more = len(values) - _MOST_NAMES
    return ", ".join(map(str, values[:_MOST_NAMES])) + (f" and {more} more" if more > 0 else "")


def _table(rows: Any) -> str:
    """Rows of (text, HTML)."""
    body = "".join(f"<tr><th>{escape(name)}</th><td>{html}</td></tr>" for name, html in rows)
    return f"<table>{body}</table>"
