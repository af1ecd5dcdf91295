"""Loops that make a probe stumble: each trains a case and returns its losses."""

import copy
import io
import threading

import pytest
import torch
from torch import nn

from tests.trainings import CLASSES, FEATURES


def manual(step):
    """A loop of the user's: `step(case, x, y)` returns the loss."""

    def loop(c):
        return [step(c, x, y).item() for _ in range(2) for x, y in c.train_loader]

    return loop


def usual_step(c, x, y):
    c.optimizer.zero_grad()
    loss = c.loss_fn(c.model(x), y)
    loss.backward()
    c.optimizer.step()
    return loss


def compiled(c):
    torch._dynamo.reset()
    model = torch.compile(c.model, backend="eager")
    return manual(lambda c, x, y: usual_step(copy_of(c, model=model), x, y))(c)


def with_a_compiled_step(c):
    torch._dynamo.reset()
    optimizer_step = torch.compile(c.optimizer.step, backend="eager")

    def step(c, x, y):
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        loss.backward()
        optimizer_step()
        return loss

    return manual(step)(c)


def compiled_throughout(c):
    torch._dynamo.reset()
    return manual(torch.compile(usual_step, backend="eager"))(c)


def with_a_compiled_loss(c):
    torch._dynamo.reset()
    return manual(usual_step)(copy_of(c, loss_fn=torch.compile(c.loss_fn, backend="eager")))


def copy_of(c, **changes):
    return type(c)(**{**vars(c), **changes})


def scaled(c, *, unscale=False):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)

    def step(c, x, y):
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        scaler.scale(loss).backward()
        if unscale:
            scaler.unscale_(c.optimizer)
        scaler.step(c.optimizer)
        scaler.update()
        return loss

    return manual(step)(c)


def with_a_named_closure(c):
    def step(c, x, y):
        def closure():
            c.optimizer.zero_grad()
            loss = c.loss_fn(c.model(x), y)
            loss.backward()
            return loss

        return c.optimizer.step(closure=closure)

    return manual(step)(c)


def scaled_under_autocast(c):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return scaled(c)


def with_a_skipped_step(c):
    """The scaler meets Inf in the third step and skips it."""
    scaler, calls = torch.amp.GradScaler("cpu", init_scale=2.0**16), []

    def step(c, x, y):
        calls.append(x)
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        scaler.scale(loss).backward()
        if len(calls) == 3:
            next(c.model.parameters()).grad.fill_(torch.inf)
        scaler.step(c.optimizer)
        scaler.update()
        return loss

    return manual(step)(c)


def averaging(c):
    average = torch.optim.swa_utils.AveragedModel(c.model)

    def step(c, x, y):
        loss = usual_step(c, x, y)
        average.update_parameters(c.model)
        return loss + 0 * average(x).sum().detach()

    return manual(step)(c)


def copying(c):
    def step(c, x, y):
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        twin = copy.deepcopy(c.model)
        loss.backward()
        c.optimizer.step()
        return loss + 0 * twin(x).sum().detach()

    return manual(step)(c)


def saving(c):
    def step(c, x, y):
        c.optimizer.zero_grad()
        output = c.model(x)
        torch.save((c.model, c.loss_fn, output), io.BytesIO())
        loss = c.loss_fn(output, y)
        loss.backward()
        c.optimizer.step()
        return loss

    return manual(step)(c)


def assigning(c):
    losses = c.run(1)
    c.model.load_state_dict({name: value.clone() for name, value in c.model.state_dict().items()}, assign=True)
    return losses + c.run(1)


def replacing_the_head(c):
    losses = c.run(1)
    torch.manual_seed(5)
    c.model[2] = nn.Linear(16, CLASSES)
    c.optimizer.param_groups[0]["params"][2:] = list(c.model[2].parameters())
    return losses + c.run(1)


def replacing_layers_by_wider_ones(c):
    losses = c.run(1)
    torch.manual_seed(5)
    c.model[0], c.model[2] = nn.Linear(FEATURES, 24), nn.Linear(24, CLASSES + 2)
    c.optimizer.param_groups[0]["params"][:] = list(c.model.parameters())
    return losses + c.run(1)


def stop_with(error):
    raise error


def failing_in_the_middle(c):
    losses = []
    for number, (x, y) in enumerate(c.train_loader):
        try:
            c.optimizer.zero_grad()
            loss = c.loss_fn(c.model(x), y)
            if number == 1:
                stop_with(ValueError("of the user's"))
            loss.backward()
            if number == 3:
                stop_with(KeyboardInterrupt())
            c.optimizer.step()
            losses.append(loss.item())
        except (ValueError, KeyboardInterrupt):
            pass
    return losses + c.run(1)


def failing_in_a_module(c):
    """The forward pass itself breaks off: hooks of the modules behind never fire."""
    for x, _ in list(c.train_loader)[:2]:
        with pytest.raises(RuntimeError):
            c.model(x[:, :3])
    return c.run(2)


def in_a_thread(c):
    losses = []
    thread = threading.Thread(target=lambda: losses.extend(c.run(2)))
    thread.start()
    thread.join()
    return losses


def two_threads_forward(c):
    """Another thread runs the model while this one trains; it waits for its turn, so that the result is fixed."""

    def step(c, x, y):
        thread = threading.Thread(target=lambda: c.model(x))
        thread.start()
        thread.join()
        return usual_step(c, x, y)

    return manual(step)(c)


def from_an_attribute(c):
    def step(c, x, y):
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x).logits, y)
        loss.backward()
        c.optimizer.step()
        return loss

    return manual(step)(c)


def from_a_key(c):
    def step(c, x, y):
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x)["logits"], y)
        loss.backward()
        c.optimizer.step()
        return loss

    return manual(step)(c)


def twice_through_the_graph(c):
    """A gradient penalty: backward through backward."""

    def step(c, x, y):
        c.optimizer.zero_grad()
        x = x.clone().requires_grad_()
        loss = c.loss_fn(c.model(x), y)
        (slope,) = torch.autograd.grad(loss, x, create_graph=True)
        loss = loss + slope.square().sum()
        loss.backward()
        c.optimizer.step()
        return loss

    return manual(step)(c)


def under(context):
    def loop(c):
        with context():
            return c.run(2)

    return loop


class default_dtype:  # noqa: N801 - stands where a context manager is called
    def __enter__(self):
        torch.set_default_dtype(torch.float64)

    def __exit__(self, *error):
        torch.set_default_dtype(torch.float32)


class deterministic:  # noqa: N801
    def __enter__(self):
        torch.use_deterministic_algorithms(True)

    def __exit__(self, *error):
        torch.use_deterministic_algorithms(False)
