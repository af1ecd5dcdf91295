"""Small pieces of text on the wizard's pages."""

from __future__ import annotations

from html import escape

from nn_inspector.history import Evidence

TEXT = "var(--jp-content-font-color1, #212121)"
QUIET = "var(--jp-ui-font-color2, #616161)"


def title(text: str) -> str:
    """The name of the wizard: the heading above all questions, in the line of what is said beside it."""
    return f'<h2 style="display: inline; margin: 0; font-size: inherit; color: inherit">{escape(text)}</h2>'


def heading(text: str) -> str:
    """The question of a step."""
    return f'<h3 style="margin: 0 0 4px 0; line-height: 1.3; color: {TEXT}">{escape(text)}</h3>'


def paragraph(text: str, label: str = "") -> str:
    """A paragraph that begins with a word in bold."""
    lead = f"<b>{escape(label)}</b> " if label else ""
    return f'<p style="margin: 4px 0; line-height: 1.45; max-width: 46em; color: {TEXT}">{lead}{escape(text)}</p>'


def quiet(text: str) -> str:
    """A remark."""
    return f'<div style="line-height: 1.4; color: {QUIET}">{escape(text)}</div>'


def notice(text: str) -> str:
    """Something the user has to act on."""
    return (
        f'<div role="status" style="border-left: 3px solid var(--jp-warn-color1, #f57c00); padding: 2px 10px; '
        f'line-height: 1.45; color: {TEXT}">{escape(text)}</div>'
    )


def verdict(text: str) -> str:
    """What a step found, read out as soon as it stands there.

    Args:
        text: HTML.
    """
    return f'<div role="status">{text}</div>'


def evidence_table(evidence: Evidence) -> str:
    """The evidence that is a single number; lists are for the chart."""
    rows = "".join(
        f'<tr><th scope="row" style="text-align: left; font-weight: normal; padding-right: 16px">'
        f'{escape(name.replace("_", " "))}</th><td style="text-align: right">{value:.4g}</td></tr>'
        for name, value in evidence.items()
        if isinstance(value, int | float)
    )
    return f'<table style="line-height: 1.4; color: {TEXT}">{rows}</table>' if rows else ""


def code_block(code: str) -> str:
    """Code to read or to copy; with the keyboard it can be reached, and so moved where it is wide."""
    return (
        '<pre tabindex="0" style="background: var(--jp-layout-color2, #eeeeee); color: var(--jp-content-font-color1, #111111); '
        f'padding: 6px 10px; margin: 4px 0; overflow-x: auto; line-height: 1.4"><code>{escape(code)}</code></pre>'
    )
