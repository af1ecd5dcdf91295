"""A training whose learning rate follows a schedule."""

import torch
from torch import nn

import nn_inspector as nni
from tests.trainings import Case, blobs, mlp

EPOCHS, BATCHES = 10, 12


def case_of(lr=0.02, *, spread=1.2, as_list=False):
    model = mlp(seed=1)
    loader = torch.utils.data.DataLoader(blobs(16 * BATCHES, spread=spread), batch_size=16, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    return Case(model, optimizer, nn.CrossEntropyLoss(), list(loader) if as_list else loader)


def run(case, scheduler=None, *, each="epoch", epochs=EPOCHS, first=False):
    """The usual loop; `each` says how often the scheduler is stepped."""
    for _ in range(epochs):
        for x, y in case.train_loader:
            case.optimizer.zero_grad()
            case.loss_fn(case.model(x), y).backward()
            if first:
                scheduler.step()
            case.optimizer.step()
            if each == "batch" and not first:
                scheduler.step()
        if each == "epoch" and scheduler is not None:
            scheduler.step()


def one_epoch(case):
    """Returns the loss of its last batch."""
    for x, y in case.train_loader:
        case.optimizer.zero_grad()
        loss = case.loss_fn(case.model(x), y)
        loss.backward()
        case.optimizer.step()
    return loss.item()


def finding_of(
    make, *, each="epoch", epochs=EPOCHS, lr=0.02, seconds=300, first=False, loop=run, as_list=False, **data
):
    case = case_of(lr, as_list=as_list, **data)
    scheduler = make(case.optimizer) if make is not None else None
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, loop=loop) as inspector:
        run(case, scheduler, each=each, epochs=epochs, first=first)
        return inspector.check("scheduler", seconds=seconds)
