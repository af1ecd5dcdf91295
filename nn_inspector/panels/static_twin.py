"""The picture of a run that a saved notebook shows when no kernel is there."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nn_inspector.history import Run
from nn_inspector.panels.chart_image import png, png_tag
from nn_inspector.panels.choice import FIRST, PANELS
from nn_inspector.panels.in_words import in_words
from nn_inspector.panels.panel import Panel, Selection


def static_html(run: Run, selection: Selection, panels: Sequence[Panel] = ()) -> str:
    """The same pictures as an image, with the latest numbers and findings; nothing before the first step."""
    if run.steps == 0:
        return '<div class="nni-static"></div>'
    shown = panels or [panel for panel in PANELS if panel.name in FIRST]
    charts = [(panel.title, panel.chart(run, selection)) for panel in shown]
    image = png_tag(png(charts), " ".join(f"{title}: {in_words(chart)}" for title, chart in charts))
    numbers = {"steps": f"{run.steps:,}"}
    for source, word in (("train", "train loss"), ("validation", "validation loss")):
        value = run.last("loss", source)
        if value is not None:
            numbers[word] = f"{value:.4g}"
    numbers |= {finding.check: f"{finding.severity}: {finding.message}" for finding in run.findings}
    rows = "".join(
        f'<tr><th style="text-align: left">{escape(k)}</th><td style="text-align: left">{escape(v)}</td></tr>'
        for k, v in numbers.items()
    )
    return f'<div class="nni-static">{image}<table>{rows}</table></div>'
