"""watch(), and which inspector it made last."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, cast

import torch
from torch import nn
from torch.optim import Optimizer

from nn_inspector.arguments import Loop
from nn_inspector.errors import ArgumentError, describe
from nn_inspector.history import run_path
from nn_inspector.inspector import Inspector
from nn_inspector.probes import LayerChoice, choose_layers, choose_probes
from nn_inspector.training import Step, Training
from nn_inspector.views import in_notebook, open_view

_current: Inspector | None = None
_made: weakref.WeakSet[Inspector] = weakref.WeakSet()
_listeners: list[Callable[[Inspector], None]] = []


def on_watch(listener: Callable[[Inspector], None]) -> Callable[[], None]:
    """Call a function with each inspector that `watch()` makes from now on, and with the present one.

    Returns:
        A function that ends this.
    """
    _listeners.append(listener)
    if current_inspector() is not None:
        listener(cast("Inspector", _current))
    return lambda: _listeners.remove(listener)


def current_inspector() -> Inspector | None:
    """The inspector that `watch()` made last, if it still watches."""
    return _current if _current is not None and _current.is_attached else None


def watch(
    model: nn.Module,
    optimizer: Optimizer | Sequence[Optimizer] | Mapping[str, Optimizer] | None = None,
    loss_fn: Callable[..., torch.Tensor] | None = None,
    *,
    train_loader: Iterable[Any] | None = None,
    val_loader: Iterable[Any] | None = None,
    step: Step | None = None,
    loop: Loop | None = None,
    probes: str | Sequence[str] = "standard",
    layers: LayerChoice = None,
    every: int | Literal["auto"] = "auto",
    max_overhead: float = 0.03,
    run: str | os.PathLike[str] | Literal[False] | None = None,
    motivation: str = "",
    keep_samples: bool = False,
    show: bool = True,
) -> Inspector:
    """Watch a training. The loop below stays as it is.

    Args:
        model: the network that is trained.
        optimizer: what steps it: one, several in a list or a dict, an object of yours that holds them or steps the weights
            itself, or None to find them by their steps.
        loss_fn: a loss module such as `torch.nn.CrossEntropyLoss()`, or a function of (prediction, target). Several, in a
            dict or a list, are seen as your loop calls them.
        train_loader: where the training batches come from: a `DataLoader`, a loader of a class of your own, or a list of batches.
            Without it, what the first 16 steps computed their loss of is kept in memory, up to 32 MiB, for experiments to work with.
        val_loader: where the validation batches come from.
        step: a function of (model, batch) that returns the loss, where `loss_fn(model(*inputs), target)` would not.
        loop: the function that trains, or several: their source is read (never called) by the checks of the loop. In a
            notebook the cells that ran are read where it is not given.
        probes: what is measured: "light" (loss, rates, gradients, updates), "standard" (activations and their units as
            well), "full" (everything), or a list of names from `nn_inspector.probes.PROBES`. Panels and checks show what
            there is. "full" also asks copies of the model about some items of the first batch, which are held in memory for that.
        layers: modules whose outputs are measured: names, where `*` stands for anything ("encoder.*"), types of modules,
            a list of both, or a function of (name, module). None: all that compute. Parameters are all measured.
        every: measure every so many steps (of several optimizers, one of each then); "auto" measures as often as `max_overhead` allows, and the first steps all.
        max_overhead: share of the training time that watching may cost with every="auto".
        run: where the run is kept besides memory: a name (the file `nn_inspector_runs/NAME.sqlite` beside the notebook or in
            the current folder), a path, False for memory only. None: in a notebook a file that is named after the model
            and the time, in a script memory only. No file is ever overwritten: a name that is taken gets a number, see
            `inspector.run.path`. `open_run()` reads it, while it is written too.
        motivation: why you make this training, in your words; it is kept with the run.
        keep_samples: keep the worst items of measured batches, and of those whose loss leaps up or is lost, themselves:
            some of them and made small, in the run and so in its file. Otherwise nothing of your data is kept but the
            items' places and indices; the dashboard looks them up in the data set.
        show: in a notebook, show the dashboard below this cell.

    Returns:
        The inspector. It lives as long as the model. Watching the same model again replaces the earlier inspector.

    Raises:
        ArgumentError: an argument is not what it should be; the message says what to do.

    Example:
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with watch(model, optimizer, torch.nn.MSELoss()) as inspector:
        ...     for _ in range(3):
        ...         optimizer.zero_grad()
        ...         loss = torch.nn.functional.mse_loss(model(torch.ones(4, 2)), torch.ones(4, 1))
        ...         loss.backward()
        ...         optimizer.step()
        >>> inspector.run.steps
        3
    """
    global _current  # noqa: PLW0603 - the wizard, the magics and the side panel ask for "the" inspector
    if every != "auto" and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
        raise ArgumentError(
            "every", expected='a number of steps from 1, or "auto"', got=repr(every), advice='Leave it at "auto".'
        )
    if not isinstance(max_overhead, int | float) or not 0 < max_overhead <= 1:
        raise ArgumentError(
            "max_overhead", expected="a share between 0 and 1", got=repr(max_overhead), advice="0.03 means 3 %."
        )
    if not isinstance(motivation, str):
        raise ArgumentError("motivation", expected="a text", got=describe(motivation), advice="Say it in your words.")
    if not isinstance(keep_samples, bool):
        raise ArgumentError(
            "keep_samples", expected="True or False", got=describe(keep_samples), advice="False keeps indices only."
        )
    path = run_path(run, type(model).__name__, automatic=in_notebook())
    training = Training(
        model, optimizer, loss_fn, train_loader=train_loader, val_loader=val_loader, step=step, loop=loop
    )
    choose_probes(probes), choose_layers(model, layers)  # what is wrong with them is said before anything is attached
    for earlier in [*_made]:
        if earlier.training.model is model:
            earlier.detach()
    _current = Inspector(
        training,
        every=every,
        max_overhead=max_overhead,
        path=path,
        motivation=motivation,
        probes=probes,
        layers=layers,
        keep_samples=keep_samples,
    )
    _made.add(_current)
    for listener in _listeners:
        listener(_current)
    if show and in_notebook():
        open_view("dashboard", _current, show=True)
    return _current


def detach_all() -> None:
    """Take off all that was ever attached."""
    for inspector in [*_made]:
        inspector.detach()


atexit.register(detach_all)  # later than that of the run's file, so it comes before it
