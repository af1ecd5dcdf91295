"""What the processes of the tests do. Each takes its rank and returns plain data."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import nn_inspector as nni
from nn_inspector.probes import attachment
from tests.trainings import CLASSES, FEATURES, blobs, mlp

STEPS = 30
GLOBAL_BATCH = 16
OF_ONE_PROCESS = {
    "step_seconds": "how fast a process is",
    "data_seconds": "how long it waited for its loader",
    "own_seconds": "what watching cost it",
    "memory_bytes": "what it needs",
    "gradient_left": "what clipping left of its gradient, which is not that of the batch before it is averaged",
}
"""Quantities that are not of the batch but of the process that reports them, and what each is."""

ON_CHANGE = {"training_mode", "learning_rate"}
"""Quantities that are reported when they change, here at the first step alone."""


def join(rank: int, world: int, port: int) -> None:
    """Meet the other processes in a store that rank 0 keeps."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://localhost:{port}", rank=rank, world_size=world)


def batches(rank: int, world: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """This process's share of the same global batches, for any number of processes."""
    x, y = blobs(STEPS * GLOBAL_BATCH).tensors
    return [
        (bx[rank::world], by[rank::world]) for bx, by in zip(x.split(GLOBAL_BATCH), y.split(GLOBAL_BATCH), strict=True)
    ]


def train(model: nn.Module, share: list[tuple[torch.Tensor, torch.Tensor]], optimizer: torch.optim.Optimizer) -> None:
    for x, y in share:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def measured(inspector: nni.Inspector, prefix: str = "") -> dict[tuple[str, str], tuple[list[int], np.ndarray]]:
    """All that describes the batches and the model, by quantity and source."""
    run = inspector.run
    return {
        (quantity, source.removeprefix(prefix)): (
            run.series(quantity, source).steps.tolist(),
            run.series(quantity, source).values,
        )
        for quantity in run.quantities()
        if quantity not in OF_ONE_PROCESS
        for source in run.sources(quantity)
    }


class OverTime(nn.Module):
    """Reads the features as a sequence: recurrent, with attention and bounded activations."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.recurrent = nn.GRU(2, 8, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, bias=False, batch_first=True)
        self.bounded = nn.Sequential(nn.Linear(8, 8), nn.Hardtanh(-0.1, 0.1))
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.recurrent(x.reshape(len(x), -1, 2))
        seen, _ = self.attention(states, states, states)
        scores: torch.Tensor = self.head(self.bounded(seen).mean(1))
        return scores


MODELS: dict[str, Callable[[], nn.Module]] = {"classifier": mlp, "over time": OverTime}


def alone(kind: str = "classifier") -> dict[tuple[str, str], tuple[list[int], np.ndarray]]:
    """The same training in one process, on the global batches, with every probe that there is."""
    model = MODELS[kind]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer, every=1, probes="full") as inspector:
        train(model, batches(0, 1), optimizer)
    return measured(inspector)


def together(
    rank: int,
    world: int,
    every: Any = 1,
    watching: Callable[[int], bool] = lambda rank: True,
    probes: str = "standard",
    kind: str = "classifier",
) -> Any:
    """All processes watch and train with DistributedDataParallel."""
    model = DistributedDataParallel(MODELS[kind]())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inspector = nni.watch(model, optimizer, every=every, probes=probes, show=False) if watching(rank) else None
    train(model, batches(rank, world), optimizer)
    weights = [p.detach().numpy().copy() for p in model.parameters()]
    if inspector is None:
        dist.barrier()
        return {}, [], weights
    inspector.detach()
    dist.barrier()
    return measured(inspector, "module."), inspector.problems, weights


def apart(rank: int, world: int) -> list[str]:
    """Each process trains a model of its own."""
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer, every=1, show=False) as inspector:
        train(model, batches(rank, world), optimizer)
    return inspector.problems


def with_every_probe(rank: int, world: int, kind: str) -> Any:
    return together(rank, world, probes="full", kind=kind)


def only_rank_0_watches(rank: int, world: int) -> Any:
    return together(rank, world, watching=lambda rank: rank == 0)


def as_often_as_the_budget_allows(rank: int, world: int) -> Any:
    return together(rank, world, "auto")


def sparsely(rank: int, world: int) -> Any:
    """Only the first step is measured in full; what is known of the losses while the training runs."""
    model = DistributedDataParallel(mlp())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer, every=1_000_000, show=False) as inspector:
        for _ in range(20):
            train(model, batches(rank, world), optimizer)
        inspector.log(accuracy=float(rank))
        loss = inspector.run.series("loss", "train")
        accuracy = inspector.run.last("accuracy", "train")
    dist.barrier()
    return loss.steps.tolist(), loss.values, accuracy


def more_than_is_exchanged(rank: int, world: int) -> Any:
    """The losses of a measured step fit into an exchange, its histograms do not."""
    attachment._CAPACITY, attachment._CAPACITY_A_MODULE = 300, 0
    return together(rank, world)


def one_dies(rank: int, world: int, dying: int, after: int) -> Any:
    """One process is gone after some steps; the others train on, each for itself."""
    wrapped = DistributedDataParallel(mlp())
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1)
    inspector = nni.watch(wrapped, optimizer, every=1, show=False)
    share = batches(rank, world)
    train(wrapped, share[:after], optimizer)
    if rank == dying:
        os._exit(1)
    with wrapped.no_sync():
        train(wrapped, share[after:], optimizer)
    inspector.detach()
    return len(inspector.run.series("loss", "train").steps), inspector.problems


def writes(rank: int, world: int, folder: str) -> Any:
    model = DistributedDataParallel(nn.Linear(FEATURES, CLASSES))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer, every=1, run=str(Path(folder) / "shared.sqlite"), show=False) as inspector:
        train(model, batches(rank, world), optimizer)
    dist.barrier()
    return str(inspector.run.path) if inspector.run.path else None


def sharded(rank: int, world: int, watching: bool) -> Any:
    """FSDP: each process holds a part of each parameter."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model, mesh = mlp(), init_device_mesh("cpu", (world,))
    for module in (model[0], model[2], model):
        fully_shard(module, mesh=mesh)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inspector = nni.watch(model, optimizer, every=1, probes="full", show=False) if watching else None
    train(model, batches(rank, world), optimizer)
    weights = [p.detach().full_tensor().numpy().copy() for p in model.parameters()]
    parts = {name: float(p.grad.to_local().norm()) for name, p in model.named_parameters()}
    if inspector is None:
        return {}, [], weights, parts
    inspector.detach()
    return measured(inspector), inspector.problems, weights, parts


def only_nobody(rank: int) -> bool:
    """Nobody watches."""
    return False
