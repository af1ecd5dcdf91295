from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

import nn_inspector as nni
from tests.trainings import Case


def with_time(inspector: nni.Inspector) -> nni.Inspector:
    """Checks have all the time they need: a busy machine must not change a verdict."""
    check = inspector.check
    inspector.check = lambda name, *, seconds=300.0, **options: check(name, seconds=seconds, **options)
    return inspector


@pytest.fixture
def watched() -> Iterator[Callable[..., nni.Inspector]]:
    """Watch a case, let it train, and hand out its inspector."""
    inspectors: list[nni.Inspector] = []

    def watch(case: Case, loop: Callable[[Case], Any] | None = None, **options: Any) -> nni.Inspector:
        inspector = nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, **options)
        inspectors.append(inspector)
        if loop is not None:
            loop(case)
        return with_time(inspector)

    yield watch
    for inspector in inspectors:
        inspector.detach()


@pytest.fixture
def untrained(watched: Callable[..., nni.Inspector]) -> Callable[..., nni.Inspector]:
    """Watch a model that no step was made with."""

    def watch(model: nn.Module, loss_fn: Any, data: Any, **options: Any) -> nni.Inspector:
        loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True)
        return watched(Case(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_fn, loader), **options)

    return watch
