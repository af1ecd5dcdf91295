from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def empty_stack_of_torch() -> Iterator[None]:
    """A test that ends in the middle of a step leaves its watch on torch's stack: the next one does not find it there."""
    yield
    while torch.overrides._get_current_function_mode_stack():
        torch.overrides._pop_mode()
