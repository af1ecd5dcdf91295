"""What axe-core says of our own views in an open page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Locator, Page

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
SEVERE = ("serious", "critical")
OF_COLOURS = ("color-contrast", "link-in-text-block")
"""The rules whose answer depends on the theme."""

_MARK = """element => {
    const { outlineStyle, outlineWidth, boxShadow, borderColor, backgroundColor, color } = getComputedStyle(element);
    return [outlineStyle === 'none' ? '' : outlineWidth, boxShadow, borderColor, backgroundColor, color].join();
}"""
_STOP = """view => {
    const element = document.activeElement;
    return element.closest(view) !== null && element.checkVisibility() ? element : null;
}"""

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


def expect_focus_to_be_seen(page: Page, view: str, first: Locator) -> int:
    """Go through a view with Tab, and hold that each thing it comes to looks different as long as it has the focus.

    Args:
        page: where it is shown.
        view: a selector.
        first: where to begin, in the view.

    Returns:
        How many things Tab came to.
    """
    first.focus()
    unseen, seen = [], 0
    while (stop := page.evaluate_handle(_STOP, view).as_element()) is not None:
        focused = stop.evaluate(_MARK)
        page.keyboard.press("Tab")
        seen += 1
        if stop.evaluate(_MARK) == focused:
            unseen.append(stop.evaluate("element => element.outerHTML.slice(0, 200)"))
    assert unseen == []
    return seen
