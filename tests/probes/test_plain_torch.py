"""What is measured of a step is computed past the function modes on torch's stack; what is the user's is not."""

import torch
from torch.overrides import TorchFunctionMode

from tests.trainings import classifier, watch


class Listening(TorchFunctionMode):
    """A mode of the user's: names of all functions of torch's that are called."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.names.add(func.__name__)
        return func(*args, **(kwargs or {}))


def heard(*, watched, after_step=None):
    case = classifier()
    with Listening() as mode:
        if not watched:
            case.run(1)
            return mode.names
        with watch(case, every=1, probes="full") as inspector:
            if after_step is not None:
                inspector.subscribe(after_step)
            case.run(1)
    assert inspector.problems == []
    assert inspector.run.last("activation_spread", "0") is not None
    return mode.names


def test_a_mode_of_the_users_does_not_see_what_is_computed_of_a_step():
    ours = heard(watched=True) - heard(watched=False)
    assert ours.isdisjoint({"sum", "stack", "amax", "where", "_foreach_norm"})


def test_what_is_called_after_a_step_is_seen_by_it():
    assert "cosh" in heard(watched=True, after_step=lambda: torch.ones(1).cosh() and None)
