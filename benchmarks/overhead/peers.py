"""The peers, each used as its own documentation says, and what each stores of a step that it looks at.

Where a peer counts what it stores in more than one way, the way that counts more is taken.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.overhead.activation_stats import QUANTITIES as ACTIVATION_STATS
from benchmarks.overhead.activation_stats import ActivationStats
from benchmarks.overhead.loop import Loop
from benchmarks.overhead.variant import Session, Variant

_HISTOGRAMS = ("gradient histogram", "parameter histogram")

WANDB = ("loss", *_HISTOGRAMS, *(f"{end} of {what}" for what in _HISTOGRAMS for end in ("low end", "high end")))
"""wandb.integration.torch.TorchHistory.log_tensor_stats: 64 counts and the edges of their bins, which lie between the
least and the greatest element."""

_TENSORBOARD_FIELDS = ("min", "max", "num", "sum", "sum_squares", "bucket")

TENSORBOARD = ("loss", *(f"{field} of {what}" for what in _HISTOGRAMS for field in _TENSORBOARD_FIELDS))
"""torch.utils.tensorboard.summary.make_histogram: the fields of one HistogramProto."""

TORCHMORTEM = (
    *("loss", "loss_smoothed", "loss_delta"),
    *("grad_norm", "grad_mean", "grad_max", "grad_zero_frac"),
    *("act_mean", "act_std", "act_dead_frac", "act_saturated_frac"),
    *("weight_norm", "update_norm", "update_ratio"),
    "effective_rank",
)
"""The series of the states of torchmortem.collectors. `top_eigenvalue` needs a tensor that its quick start does not
hand over. `effective_rank` is computed at every step and kept at every 50th."""

TORCH_AUDIT = (
    *("TA100 parameters", "TA100 gradients", "TA102", "TA103", "TA104", "TA105"),
    *("TA300", "TA301", "TA302", "TA303", "TA304", "TA305"),
    *("TA500", "TA501"),
)
"""The rules that torch-audit's README lists as "runtime"; those of its static and initial phase are one-off."""


@contextlib.contextmanager
def wandb(loop: Loop, folder: Path, *, every: int) -> Iterator[Session]:
    """`watch` and `log`, as in wandb's guide for PyTorch. Offline: disabled, it would not compute the histograms."""
    library = import_module("wandb")
    homes = {f"WANDB_{kind}_DIR": str(folder) for kind in ("CACHE", "CONFIG", "DATA", "ARTIFACT")}
    with _environment({**homes, "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}):
        settings = library.Settings(console="off", silent=True)
        with library.init(mode="offline", dir=folder, settings=settings) as run:
            run.watch(loop.model, log="all", log_freq=every)
            yield Session(lambda: WANDB, lambda loss: run.log({"loss": loss.item()}))
            run.unwatch(loop.model)
        library.teardown()


@contextlib.contextmanager
def tensorboard(loop: Loop, folder: Path, *, every: int) -> Iterator[Session]:
    """A scalar each step; every so often a histogram of each parameter and of its gradient."""
    steps = itertools.count(1)
    with import_module("torch.utils.tensorboard").SummaryWriter(folder) as writer:

        def after_step(loss: torch.Tensor) -> None:
            step = next(steps)
            writer.add_scalar("loss", loss.item(), step)
            if step % every == 0:
                for name, parameter in loop.model.named_parameters():
                    writer.add_histogram(f"parameters/{name}", parameter, step)
                    writer.add_histogram(f"gradients/{name}", parameter.grad, step)

        yield Session(lambda: TENSORBOARD, after_step)


@contextlib.contextmanager
def torchmortem(loop: Loop, folder: Path) -> Iterator[Session]:
    """The quick start of its README, with the default sampling."""
    with import_module("torchmortem").Autopsy(loop.model, optimizer=loop.optimizer) as autopsy:
        yield Session(lambda: TORCHMORTEM, lambda loss: autopsy.step(loss=loss.item()))


@contextlib.contextmanager
def torch_audit(loop: Loop, folder: Path, *, every: int) -> Iterator[Session]:
    """`autopatch`, which leaves the loop as it is: the cheaper of the two ways that its README shows."""
    auditor = import_module("torch_audit").autopatch(
        loop.model, optimizer=loop.optimizer, every_n_steps=every, reporters=[]
    )
    yield Session(lambda: TORCH_AUDIT)
    auditor.finish()
    auditor.unpatch()


@contextlib.contextmanager
def activation_stats(loop: Loop, folder: Path) -> Iterator[Session]:
    """As fastai's callback with histograms does it, see activation_stats.py."""
    stats = ActivationStats(loop.model)
    yield Session(lambda: ACTIVATION_STATS, stats.after_step)
    stats.remove()


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _at(name: str, attach: Callable[..., contextlib.AbstractContextManager[Session]], every: int) -> Variant:
    cadence = functools.partial(attach, every=every)
    return Variant(f"{name}-{every}", f"every {every}", cadence, period=every, package=name)


PEERS = (
    *(_at("wandb", wandb, every) for every in (1, 10, 100)),
    *(_at("tensorboard", tensorboard, every) for every in (1, 10, 100)),
    Variant("torchmortem", "every 1", torchmortem, period=50, package="torchmortem"),
    *(_at("torch-audit", torch_audit, every) for every in (1, 1000)),
    Variant("activation-stats", "every 1", activation_stats),
)
