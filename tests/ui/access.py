"""What axe-core says of our own views in an open page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Page

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
SEVERE = ("serious", "critical")
OF_COLOURS = ("color-contrast", "link-in-text-block")
"""The rules whose answer depends on the theme."""

_LOOK = """async ([views, severe, rules]) => {
    const seen = views.filter(view => [...document.querySelectorAll(view)].some(found => found.checkVisibility()));
    const options = {resultTypes: ['violations'], ...(rules === null ? {} : {runOnly: rules})};
    const results = await axe.run({include: seen.map(view => [view])}, options);
    const found = results.violations.filter(rule => severe.includes(rule.impact));
    return {seen, findings: found.flatMap(rule => rule.nodes.map(node =>
        `${rule.impact} ${rule.id}: ${node.failureSummary.replaceAll('\\n', ' ')} ${node.html.slice(0, 200)}`))};
}"""


def expect_accessible(page: Page, *views: str, rules: Sequence[str] | None = None) -> None:
    """Hold that views are there, and that axe-core has no serious or critical finding in them.

    Args:
        page: where they are shown.
        views: selectors.
        rules: of axe-core, all of them where there are none.
    """
    assert AXE.exists(), "run jlpm install first"
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text())
    answer = page.evaluate(_LOOK, [views, SEVERE, rules])
    assert answer["seen"] == list(views)
    assert answer["findings"] == []
