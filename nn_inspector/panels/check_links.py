"""From a panel to its checks: a name for each, which unfolds to what the check asks, why, and how to make it.

Where there are many, the first of them are named and the others are folded up, so that they take one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nn_inspector.checks import find_check
from nn_inspector.panels.style import TEXT

MOST_NAMED = 3
"""So many names stand there; one more is named as well rather than hidden."""


_LINE = "display: flex; flex-flow: row wrap; gap: 0 8px"


def checks_html(names: Sequence[str]) -> str:
    """One quiet line of names. It unfolds without a kernel, so that it can be read while a cell runs; nothing without names.

    Args:
        names: of checks.
    """
    if not names:
        return ""
    named = len(names) if len(names) <= MOST_NAMED + 1 else MOST_NAMED
    first, others = ("".join(map(_link, some)) for some in (names[:named], names[named:]))
    more = (
        f'<details class="nni-checks-more"><summary>and {len(names) - named} more</summary>'
        f'<div style="{_LINE}">{others}</div></details>'
        if others
        else ""
    )
    style = f"{_LINE}; line-height: 1.4; font-size: 12px; color: {TEXT}"
    return f'<div class="nni-checks" style="{style}"><span>Checks:</span>{first}{more}</div>'


def _link(name: str) -> str:
    info = find_check(name).info
    parts = (("Why it matters.", info.why), ("How it is checked.", info.how), ("What to do.", info.remedy))
    told = "".join(f"<p><b>{label}</b> {escape(text)}</p>" for label, text in parts)
    call = escape(f'inspector.check("{name}")')
    return (
        f'<details><summary><code>{escape(name)}</code></summary><div class="nni-checks-text">'
        f"<p><b>{escape(info.question)}</b></p>{told}<p><code>{call}</code> makes it.</p></div></details>"
    )
