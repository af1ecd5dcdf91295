"""Colours and styles of all views."""

from __future__ import annotations

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours, which colour-blind people can tell apart and which show on light and dark."""

FAINT = "#999999"
EVENT = "#333333"
"""Of marks of what was found."""

BACK = 0.35
"""Opacity of what stands back behind a selected row."""

TEXT = "var(--jp-ui-font-color1, currentColor)"
"""Jupyter's own, elsewhere that of what is around."""

GRID = "rgba(128, 128, 128, 0.25)"

STYLE = (
    "<style>.nni-chart .bqplot { --bq-axislabel-font: 12px var(--jp-ui-font-family, sans-serif); } "
    ".nni-chart .bar { cursor: pointer; } .nni-chart .bar:hover { opacity: 0.15 !important; } "
    ".nni-checks details[open] { flex: 0 0 100%; } .nni-checks summary { cursor: pointer; } "
    ".nni-checks code { background: none; padding: 0; font-size: inherit; color: inherit; } "
    ".nni-checks-text { max-width: 46em; margin: 2px 0 6px 16px; } .nni-checks-text p { margin: 2px 0; } "
    ".nni-said { position: absolute; width: 1px; height: 1px; margin: 0; padding: 0; overflow: hidden; clip-path: inset(50%); } "
    ".nni-dashboard:not(:has(.nni-panel-opener.mod-active)) .nni-panel-choice { display: none; } "
    ".nni-step, .nni-stage { text-align: left; } .nni-step:focus-visible, .nni-stage:focus-visible { outline: 2px solid currentColor; }</style>"
)
"""What bqplot offers no option for; put once into a view's HTML."""
