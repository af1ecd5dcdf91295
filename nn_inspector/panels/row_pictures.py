"""The images that belong to the rows of a chart, beside each other."""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np
from matplotlib.image import imsave

from nn_inspector.history import Chart

_HEIGHT = 56


def pictures_html(chart: Chart) -> str:
    """An image for each row with the row's name and what is said of it; nothing where there are none."""
    figures = "".join(
        f'<figure style="display: inline-block; margin: 2px 6px; text-align: center; font-size: 11px">'
        f'<img alt="{escape(name)}: {escape(remark)}" style="height: {_HEIGHT}px; image-rendering: pixelated" '
        f'src="data:image/png;base64,{_encoded(image)}"><figcaption>{escape(name)}</figcaption></figure>'
        for image, (_, name), remark in zip(chart.pictures, chart.labels, chart.remarks, strict=False)
    )
    return f"<div>{figures}</div>" if figures else ""


def _encoded(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    imsave(buffer, image, format="png", cmap="gray", vmin=0, vmax=255)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
