import gc

import pytest
from torch.optim.optimizer import _global_optimizer_pre_hooks, register_optimizer_step_pre_hook

import nn_inspector as nni
from nn_inspector.probes.any_step import AnyStep
from nn_inspector.probes.hook import Hook
from nn_inspector.probes.probe import Probe
from nn_inspector.probes.recorder import Recorder
from nn_inspector.probes.schedule import Schedule
from tests.trainings import classifier


class Counter(Probe):
    name = "counter"

    def __init__(self) -> None:
        super().__init__(Recorder(Schedule(1, 0.03), lambda *_: None, lambda *_: None))
        self.steps = 0

    def hooked(self) -> Hook:
        return self.hook(self._count)

    def _count(self, *_: object) -> None:
        self.steps += 1


def test_each_listener_is_told_and_the_last_one_leaves_nothing():
    gc.collect()
    before = set(_global_optimizer_pre_hooks)
    case = classifier()
    counters = [Counter(), Counter()]
    first, second = (AnyStep(counter.hooked()) for counter in counters)
    case.run(1)
    first.remove()
    case.run(1)
    second.remove()
    second.remove()
    assert [counter.steps for counter in counters] == [6, 12]
    assert set(_global_optimizer_pre_hooks) <= before


@pytest.mark.parametrize("known", [True, False])
def test_a_watch_that_is_collected_while_torch_walks_through_its_hooks_does_no_harm(known):
    forgotten = [classifier()]
    nni.watch(forgotten[0].model, forgotten[0].optimizer if known else None, show=False)
    nni.watch(classifier().model, show=False).detach()  # else the first one would be known as the present one
    case = classifier()

    def collect(*_: object) -> None:
        if forgotten:
            forgotten.clear()
            gc.collect()

    handle = register_optimizer_step_pre_hook(collect)
    last = register_optimizer_step_pre_hook(lambda *_: None)
    try:
        case.run(1)
    finally:
        handle.remove()
        last.remove()
