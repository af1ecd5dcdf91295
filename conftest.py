"""What the examples in docstrings may use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _doctest_inspector(request: pytest.FixtureRequest) -> Iterator[None]:
    """An `inspector` of a small training, for examples that need one."""
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    import nn_inspector as nni
    from tests.trainings import classifier

    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        case.run(1)
        namespace: dict[str, Any] = request.getfixturevalue("doctest_namespace")
        namespace["inspector"] = inspector
        yield
