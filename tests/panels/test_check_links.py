"""Each panel leads to its checks, on screen and in the docs."""

import re
from pathlib import Path

import pytest

import nn_inspector as nni
from nn_inspector.checks import Check, CheckInfo, register_check, unregister_check
from nn_inspector.panels.card import Card
from nn_inspector.panels.chart_view import chart_view
from nn_inspector.panels.check_links import checks_html
from nn_inspector.panels.choice import PANELS
from nn_inspector.panels.panel import Panel, Selection
from tests.ui.pictures import DOCS, PAGE

EMPTY = nni.Run("empty", {"model": "M"})
NAMES = {info.name for info in nni.catalog()}


def shown(panel):
    """The text of a card's checks."""
    return Card(panel, chart_view(panel.picture(EMPTY, Selection()))).children[-1].value


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_every_panel_has_checks_and_its_card_tells_of_each(panel):
    checks = (*panel.checks, *panel.related)
    assert checks
    assert set(checks) <= NAMES
    assert len(set(checks)) == len(checks)
    html = shown(panel)
    assert re.findall(r"<summary><code>(\w+)</code></summary>", html) == list(checks)
    assert html.count("<details>") == len(checks)


@pytest.mark.parametrize(
    ("count", "named", "more"), [(1, 1, None), (3, 3, None), (4, 4, None), (5, 3, "and 2 more"), (13, 3, "and 10 more")]
)
def test_many_checks_take_one_line_and_unfold(count, named, more):
    checks = sorted(NAMES)[:count]
    line, *folded = checks_html(checks).split('<details class="nni-checks-more">')
    assert re.findall(r"<summary><code>(\w+)</code></summary>", line) == checks[:named]
    assert len(folded) == (more is not None)
    for rest in folded:
        assert rest.startswith(f"<summary>{more}</summary>")
        assert re.findall(r"<summary><code>(\w+)</code></summary>", rest) == checks[named:]


def test_what_is_said_of_a_check_is_that_of_the_catalogue_and_how_to_make_it():
    html = checks_html(("initial_loss",))
    info = next(info for info in nni.catalog() if info.name == "initial_loss")
    assert info.question in html
    for text in (info.why, info.how, info.remedy):
        assert text.split("'")[0] in html
    assert "inspector.check(&quot;initial_loss&quot;)" in html


def test_a_panel_without_checks_has_no_line():
    panel = Panel("own", "Own", "Healthy: always.", lambda run, selection: nni.Chart("lines", "step", "value", {}))
    assert shown(panel) == ""


def test_the_texts_of_a_check_of_the_users_are_no_markup():
    info = CheckInfo("saturation", "train", "passive", "<i>?</i>", "<b>why</b>", "<s>how</s>", "<u>x</u>", ())
    register_check(Check(info, lambda subject: nni.Finding("saturation", "ok", "No.")))
    try:
        html = checks_html(("saturation",))
    finally:
        unregister_check("saturation")
    assert "&lt;i&gt;?" in html
    assert not re.search(r"<(i|s|u)>", html)


def test_a_related_check_does_not_bring_its_panel_up():
    clipping = next(panel for panel in PANELS if panel.name == "clipping")
    run = nni.Run("made", {"model": "M"})
    run.steps = 3
    run.add_finding(nni.Finding("learning_rate", "warning", "Too large."))
    assert "learning_rate" in clipping.related
    assert clipping.chart(run, Selection()).events == ()


def test_every_check_has_a_panel():
    assert {check for panel in PANELS for check in panel.checks} == NAMES


def test_the_page_of_the_panels_links_to_the_pages_of_the_checks():
    page = PAGE.read_text(encoding="utf-8")
    links = re.findall(r"\]\((checks/\w+\.md)\)", page)
    assert set(links) == {f"checks/{check}.md" for panel in PANELS for check in (*panel.checks, *panel.related)}
    assert all((Path(DOCS) / link).is_file() for link in links)
