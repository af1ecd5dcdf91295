"""What went wrong with watching: it is warned of once and kept, and the training goes on."""

from __future__ import annotations

import contextlib
import warnings


class InspectorWarning(UserWarning):
    """Something was not measured that should have been, or a view failed. The training is not affected."""


FORGIVEN: tuple[type[Warning], ...] = (InspectorWarning,)
"""Whoever makes errors of warnings has what was warned of in `problems`, and the training goes on. Our own tests forgive nothing."""


class Troubles(list[str]):
    """Those of one inspector, in order; it holds nothing else, so that writers and views may keep it."""

    def report(self, trouble: str) -> None:
        """Keep a trouble and warn of it."""
        self.append(trouble)
        with contextlib.suppress(*FORGIVEN):
            warnings.warn(trouble, InspectorWarning, stacklevel=2)
