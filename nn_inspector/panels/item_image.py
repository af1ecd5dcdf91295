"""An item of the data as an image."""

from __future__ import annotations

import numpy as np


def as_image(sample: np.ndarray) -> np.ndarray | None:
    """An item as an image, uint8 [height, width] or [height, width, 3]; None if it does not look like one.

    Example:
        >>> as_image(np.array([[[0.0, 1.0], [0.5, 0.0]]])).tolist()
        [[0, 255], [127, 0]]
        >>> as_image(np.zeros(8)) is None
        True
    """
    if sample.ndim == 3 and sample.shape[0] in (1, 3):
        sample = sample[0] if sample.shape[0] == 1 else np.moveaxis(sample, 0, 2)
    if sample.ndim not in (2, 3) or min(sample.shape[:2]) < 2 or (sample.ndim == 3 and sample.shape[2] != 3):
        return None
    finite = np.nan_to_num(sample, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    image: np.ndarray = (255 * (finite - low) / (high - low or 1.0)).astype(np.uint8)
    return image
