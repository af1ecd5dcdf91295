"""What a comparison says in words and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from nn_inspector.history.differences import Difference
from nn_inspector.history.first_change import Change, quantities_compared
from nn_inspector.panels.comparison_runs import ComparedRuns
from nn_inspector.panels.style import TEXT

MOST_CHANGES = 8
MOST_DIFFERENCES = 30

_CELL = "text-align: left; vertical-align: top; padding: 2px 12px 2px 0; overflow-wrap: anywhere"
_SHORT = 20


def headline_html(compared: ComparedRuns, changes: Mapping[int, Sequence[Change]]) -> str:
    """Of each run, what left the reference's range first, and the first layer that did."""
    lines = [_headline(compared, place, found) for place, found in changes.items()]
    return _block("".join(f'<div style="margin: 2px 0">{line}</div>' for line in lines))


def _headline(compared: ComparedRuns, place: int, found: Sequence[Change]) -> str:
    name, reference = escape(compared.names[place]), escape(compared.reference_name)
    if not found:
        known = [quantity.words for quantity in quantities_compared(compared.runs[place], compared.reference_of)]
        if not known:
            return f"<b>{name}</b> cannot be compared with {reference}: nothing was measured often enough in both."
        return f"<b>{name}</b> stays within the range of {reference}. Compared: {escape(', '.join(known))}."
    said = f"<b>{name}</b> left the range of {reference} first in <b>{escape(found[0].text)}</b>."
    if found[0].quantity.of_a_layer:
        return said
    layer = next((change for change in found if change.quantity.of_a_layer), None)
    if layer is None:
        return f"{said} No layer was seen to leave it."
    return f"{said} The first layer{_meanwhile(layer)}: {escape(layer.text)}."


def _meanwhile(change: Change) -> str:
    """Layers are not measured at every step."""
    if change.since is None or change.since == change.step - 1:
        return ""
    return f", somewhere between steps {change.since + 1:,} and {change.step:,}"


def changes_html(found: Sequence[Change]) -> str:
    """What left the range, in its order."""
    if not found:
        return ""
    rows = [
        (f"{one.step:,}", one.quantity.of(one.source), f"{one.value:.3g}", _range(one)) for one in found[:MOST_CHANGES]
    ]
    more = f"<div>{len(found) - MOST_CHANGES} more are not listed.</div>" if len(found) > MOST_CHANGES else ""
    return _block(_table(("step", "what left the range", "value", "reference"), rows) + more)


def differences_html(names: Sequence[str], rows: Sequence[Difference]) -> str:
    """In what the runs differ: one column for each, one line for each thing."""
    if len(names) < 2:
        return ""
    if not rows:
        return _block("<b>Nothing in their parameters differs</b>: neither model, optimizer, loss, loaders nor seed.")
    what = "One thing differs" if len(rows) == 1 else f"{len(rows)} things differ"
    advice = "" if len(rows) == 1 else " Change one at a time to know which of them matters."
    shown = [(row.name, *row.values) for row in rows[:MOST_DIFFERENCES]]
    more = f"<div>{len(rows) - MOST_DIFFERENCES} more are not listed.</div>" if len(rows) > MOST_DIFFERENCES else ""
    return _block(f"<b>{what}.</b>{advice}{_table(('', *names), shown)}{more}")


def _range(change: Change) -> str:
    return f"{change.low:.3g}" if change.low == change.high else f"{change.low:.3g} to {change.high:.3g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col" style="{_style(text)}">{escape(text)}</th>' for text in head)
    body = "".join(
        f'<tr><th scope="row" style="{_style(row[0])}; font-weight: normal">{escape(row[0])}</th>'
        + "".join(f'<td style="{_style(text)}">{escape(text)}</td>' for text in row[1:])
        + "</tr>"
        for row in rows
    )
    return f'<table style="border-collapse: collapse"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'


def _style(text: str) -> str:
    """Of a cell: numbers and single words are not broken."""
    return f"{_CELL}; white-space: nowrap" if len(text) <= _SHORT else _CELL


def _block(html: str) -> str:
    return f'<div style="line-height: 1.5; color: {TEXT}">{html}</div>'
