import pytest

from nn_inspector.probes import tape_modules


@pytest.fixture
def nothing_was_compiled(monkeypatch):
    """Other tests compile networks in this process."""
    monkeypatch.setattr(tape_modules, "compiled_frames", lambda: 0)
