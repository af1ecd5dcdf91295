"""What axe-core says of our own views in an open page."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
VIEWS = (".nni-dashboard", ".nni-comparison", ".nni-wizard", ".nni-twin", "#nn-inspector-panel")
SEVERE = ("serious", "critical")

_LOOK = """async ([views, severe]) => {
    const include = views.filter(view => [...document.querySelectorAll(view)].some(found => found.checkVisibility()));
    const results = await axe.run({include: include.map(view => [view])}, {resultTypes: ['violations']});
    const found = results.violations.filter(rule => severe.includes(rule.impact));
    return {views: include, findings: found.flatMap(rule => rule.nodes.map(node =>
        `${rule.impact} ${rule.id}: ${node.failureSummary.replaceAll('\\n', ' ')} ${node.html.slice(0, 200)}`))};
}"""


def expect_accessible(page: Page, *views: str) -> None:
    """Hold that axe-core has no serious or critical finding in our views, and that `views` are among them.

    Args:
        page: where they are shown.
        views: selectors from `VIEWS` of what has to be there, so that nothing is passed over unseen.
    """
    assert AXE.exists(), "run jlpm install first"
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text())
    seen = page.evaluate(_LOOK, [VIEWS, SEVERE])
    assert set(views) <= set(seen["views"])
    assert seen["findings"] == []
