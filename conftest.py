"""What all tests have, and what the examples in docstrings may use."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo  # the first step of any optimizer imports it

SLOW = frozenset((Path(__file__).parent / "tests" / "slow.txt").read_text().splitlines())


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected lives as long as the process: the garbage collector need not go through it, then or in any test."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is named in tests/slow.txt can be chosen with `-m slow`, and left out."""
    for item in items:
        if item.nodeid in SLOW:
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def _empty_stack_of_torch() -> Iterator[None]:
    """A test that ends in the middle of a step leaves its watch on torch's stack: the next one does not find it there."""
    yield
    while torch.overrides._get_current_function_mode_stack():
        torch.overrides._pop_mode()


@pytest.fixture(autouse=True)
def _unexpected_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning of ours that no test expects is an error."""
    monkeypatch.setattr("nn_inspector.troubles.FORGIVEN", ())


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
