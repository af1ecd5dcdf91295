"""Others that draw a loss while a cell runs, used as their own documentation does, with our rhythm: two pictures a second."""

from __future__ import annotations

from collections.abc import Mapping

RUN = """
{start}
shown, ticks = 0.0, []
end = time.time() + {seconds}
while time.time() < end:
    step()
    losses.append(losses[-1] * 0.999 if losses else 2.3)
    {log}
    if time.time() - shown >= 0.5:
        shown = time.time()
        {show}
        ticks.append((len(losses), shown))
"""

UPDATES = """
{start}
time.sleep(2)
for _ in range({updates}):
    step()
    losses.append(losses[-1] * 0.999 if losses else 2.3)
    {log}
    {show}
"""

PEERS: Mapping[str, Mapping[str, str]] = {
    "livelossplot": {
        "start": "from livelossplot import PlotLosses\nlosses, plot = [], PlotLosses()",
        "log": "plot.update({'loss': losses[-1]})",
        "show": "plot.send()",
    },
    "fastprogress": {
        "start": "from fastprogress import master_bar\nlosses, bar = [], master_bar(range(1))\nbar.on_iter_begin()",
        "log": "",
        "show": "bar.update_graph([[range(len(losses)), losses]])",
    },
}
"""name -> how it is made, what it is told at each step, and how it draws."""


def cell(peer: str, template: str, **options: float) -> str:
    """The source of a cell in which a peer draws."""
    lines = {name: line or "pass" for name, line in PEERS[peer].items()}
    return template.format(**lines, **options)
