import sys
import types

import pytest

from nn_inspector.live import prepare_host


@pytest.mark.parametrize("refuses", [False, True])
def test_colab_is_asked_to_show_widgets_of_other_packages(monkeypatch, refuses):
    asked = []

    def enable_custom_widget_manager():
        asked.append(True)
        if refuses:
            raise RuntimeError

    output = types.SimpleNamespace(enable_custom_widget_manager=enable_custom_widget_manager)
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    monkeypatch.setitem(sys.modules, "google.colab.output", output)
    prepare_host()
    assert asked == [True]


def test_elsewhere_nothing_is_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    before = set(sys.modules)
    prepare_host()
    assert set(sys.modules) == before
