"""The trace of a few steps of a loop, and what is read in it."""

import torch

import nn_inspector as nni
from tests.trainings import classifier


def traced(loop, case=None, steps=3, **options):
    """The entries of a few steps of a loop: `loop(case, x, y)` is one step."""
    case = case or classifier()
    with nni.watch(
        case.model, case.optimizer, case.loss_fn, **{"train_loader": case.train_loader, **options}
    ) as inspector:
        for number, (x, y) in enumerate(case.train_loader):
            if number == steps:
                break
            loop(case, x, y)
    assert inspector.problems == []
    assert torch.overrides._get_current_function_mode_stack() == []
    return list(inspector.run.trace)


def calls(trace, *left_out, step=1):
    return [e.call for e in trace if e.step == step and e.call not in ("module", "function", *left_out)]


def facts(trace, call, step=0):
    return [dict(entry.facts) for entry in trace if entry.call == call and entry.step == step]


def functions(trace, step=0):
    return [(f["name"], f["shapes"], f["of"], f["result_shape"]) for f in facts(trace, "function", step)]


def usual(c, x, y):
    c.optimizer.zero_grad()
    loss = c.loss_fn(c.model(x), y)
    loss.backward()
    c.optimizer.step()


STEP = ["batch", "zero_grad", "forward", "cross_entropy", "backward", "step"]


def step_of(loss):
    def loop(c, x, y):
        c.optimizer.zero_grad()
        loss(c, x, y).backward()
        c.optimizer.step()

    return loop
