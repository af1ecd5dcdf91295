"""From a panel to its checks: a name for each, which unfolds to what the check asks, why, and how to make it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nn_inspector.checks import find_check
from nn_inspector.panels.style import TEXT


def checks_html(names: Sequence[str]) -> str:
    """One quiet line of names. It unfolds without a kernel, so that it can be read while a cell runs; nothing without names.

    Args:
        names: of checks.
    """
    if not names:
        return ""
    links = "".join(_link(name) for name in names)
    style = f"display: flex; flex-flow: row wrap; gap: 0 8px; line-height: 1.4; font-size: 12px; color: {TEXT}"
    return f'<div class="nni-checks" style="{style}"><span>Checks:</span>{links}</div>'


def _link(name: str) -> str:
    info = find_check(name).info
    parts = (("Why it matters.", info.why), ("How it is checked.", info.how), ("What to do.", info.remedy))
    told = "".join(f"<p><b>{label}</b> {escape(text)}</p>" for label, text in parts)
    call = escape(f'inspector.check("{name}")')
    return (
        f'<details><summary><code>{escape(name)}</code></summary><div class="nni-checks-text">'
        f"<p><b>{escape(info.question)}</b></p>{told}<p><code>{call}</code> makes it.</p></div></details>"
    )
