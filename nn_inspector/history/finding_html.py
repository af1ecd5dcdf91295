"""Findings as HTML that looks right in light and dark notebooks, and where there is no theme at all."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nn_inspector.history.finding import Finding, Severity

MARKS: dict[Severity, tuple[str, str]] = {
    "error": ("✖", "var(--jp-error-color1, #c62828)"),
    "warning": ("▲", "var(--jp-warn-color0, #b26a00)"),
    "info": ("i", "var(--jp-info-color0, #0072b2)"),
    "ok": ("✔", "var(--jp-success-color0, #00796b)"),
    "skipped": ("○", "var(--jp-ui-font-color2, #616161)"),
}
"""A sign and a colour for each severity; its word always stands beside them."""

_CODE_STYLE = (
    "background: var(--jp-layout-color2, #eee); color: var(--jp-content-font-color1, #111); padding: 6px 10px; "
    "overflow-x: auto; margin: 6px 0"
)


def badge_html(severity: Severity) -> str:
    """The severity as sign and word.

    Example:
        >>> "error" in badge_html("error")
        True
    """
    sign, colour = MARKS[severity]
    return f'<b style="color: {colour}; white-space: nowrap"><span aria-hidden="true">{sign}</span> {severity}</b>'


def finding_html(finding: Finding, *, with_message: bool = True) -> str:
    """One finding with its remedy; without its message where that stands above already."""
    head = [
        f"<div>{badge_html(finding.severity)} <code>{escape(finding.check)}</code></div>",
        f'<div style="margin: 2px 0">{escape(finding.message)}</div>',
    ]
    parts = head if with_message else []
    if finding.where is not None:
        parts.append(f'<div style="opacity: 0.8">Where: <code>{escape(finding.where)}</code></div>')
    if finding.remedy is not None and finding.raised:
        parts.append(f"<div><b>Remedy.</b> {escape(finding.remedy.text)}</div>")
        if finding.remedy.tried is not None:
            parts.append(f"<div>{escape(finding.remedy.tried.text)}</div>")
        parts.append(f'<pre tabindex="0" style="{_CODE_STYLE}"><code>{escape(finding.remedy.code)}</code></pre>')
    return f'<div style="margin: 8px 0; line-height: 1.45">{"".join(parts)}</div>'


def findings_html(
    headline: str,
    causes: Sequence[Finding],
    symptoms: Sequence[Finding],
    others: Sequence[Finding],
    remarks: Sequence[str] = (),
) -> str:
    """Causes in full under a headline; symptoms, which can be unfolded; then a line for each of the others."""
    notes = "".join(f"<p>{escape(remark)}</p>" for remark in remarks)
    return (
        f'<div><h4 style="margin: 4px 0">{escape(headline)}</h4>'
        f"{''.join(map(finding_html, causes))}{symptoms_html(symptoms)}{list_html(others)}{notes}</div>"
    )


def symptoms_html(symptoms: Sequence[Finding]) -> str:
    """A line for each symptom, folded away."""
    if not symptoms:
        return ""
    what = "1 symptom, which is" if len(symptoms) == 1 else f"{len(symptoms)} symptoms, which are"
    return f"<details><summary>{what} explained by what stands above</summary>{list_html(symptoms)}</details>"


def list_html(findings: Sequence[Finding]) -> str:
    """A line for each finding."""
    rows = "".join(
        f"<li>{badge_html(finding.severity)} <code>{escape(finding.check)}</code>: {escape(finding.message)}</li>"
        for finding in findings
    )
    return f'<ul style="list-style: none; padding-left: 0; line-height: 1.6">{rows}</ul>' if rows else ""
