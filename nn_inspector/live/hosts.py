"""What a front end has to be asked for before it shows our widgets."""

from __future__ import annotations

import contextlib
import importlib
import sys


def prepare_host() -> None:
    """In Colab, ask that widgets of other packages be shown: bqplot's are such. Elsewhere nothing is needed.

    Should Colab refuse, the pictures below the widgets are still shown.
    """
    if "google.colab" in sys.modules:
        with contextlib.suppress(Exception):
            importlib.import_module("google.colab.output").enable_custom_widget_manager()
