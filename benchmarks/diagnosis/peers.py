"""Other tools on the same trainings, each attached as its own documentation says.

They do not name causes as our checks do. Each of their findings counts as the check that asks about the same thing; where
one could count as several, as the one that is a cause more often. What is a matter of speed or style is left out.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import torch

from benchmarks.diagnosis.answer import Answer, Watcher
from benchmarks.diagnosis.published import Collector, judged
from tests.scenes import Scene

TORCH_AUDIT: Mapping[str, str] = {
    "TA100": "nonfinite",
    "TA102": "exploding_gradients",
    "TA103": "dead_units",
    "TA104": "gradient_flow",
    "TA105": "dead_units",
    "TA301": "input_scale",
    "TA302": "input_scale",
    "TA304": "batch_size",
    "TA305": "missing_values",
    "TA401": "optimizer_settings",
    "TA402": "regularization_share",
    "TA403": "regularization_share",
    "TA405": "dead_units",
    "TA500": "trainable_parameters",
    "TA501": "normalization",
}
"""Rules of torch-audit by what they are about."""

TORCHMORTEM: Mapping[str, str] = {
    "Dead units": "dead_units",
    "Vanishing gradients": "vanishing_gradients",
    "Exploding gradients": "exploding_gradients",
    "Gradient stalling": "vanishing_gradients",
    "High gradient noise": "batch_size",
    "Training divergence": "learning_rate",
    "Loss plateau": "no_learning",
    "Catapult phase": "learning_rate",
    "Edge of stability": "learning_rate",
    "Rank collapse": "capacity",
    "Activation saturation": "saturation",
    "Update ratio": "learning_rate",
    "Weight norm explosion": "weight_spread",
    "Stagnant weight norms": "no_learning",
    "Inter-layer weight norm": "weight_scale",
}
"""Findings of torchmortem by the beginning of their title."""

_SEVERITIES = {"FATAL": "error", "ERROR": "error", "CRITICAL": "error", "WARN": "warning", "WARNING": "warning"}


def torch_audit(scene: Scene) -> Answer:
    """`autopatch` at every step."""
    auditor = import_module("torch_audit").autopatch(
        scene.model, optimizer=_first_optimizer(scene), every_n_steps=1, reporters=[]
    )
    scene.loop()
    start = time.perf_counter()
    found = list(auditor.finish().findings)
    seconds = time.perf_counter() - start
    auditor.unpatch()
    said = [(TORCH_AUDIT.get(one.rule_id), _SEVERITIES.get(one.severity.value)) for one in found]
    return Answer(_in_order(said), seconds)


def torchmortem(scene: Scene) -> Answer:
    """`Autopsy`, told of each step and its loss."""
    autopsy = import_module("torchmortem").Autopsy(scene.model, optimizer=_first_optimizer(scene))
    with autopsy, _each_step(scene, lambda loss: autopsy.step(loss=loss)):
        scene.loop()
    start = time.perf_counter()
    report = autopsy.get_report()
    seconds = time.perf_counter() - start
    said = [(_by_title(one.title), _SEVERITIES.get(one.severity.name)) for one in report.findings]
    return Answer(_in_order(said), seconds)


def published_rules(scene: Scene) -> Answer:
    """The rules of published tools, made anew from their sources: see published.py."""
    collector = Collector(scene.model)
    with collector, _each_step(scene, collector.step):
        scene.loop()
    start = time.perf_counter()
    said = [(check, "warning") for check in judged(collector)]
    return Answer(_in_order(said), time.perf_counter() - start)


PEERS: Mapping[str, Watcher] = {
    "torch-audit": torch_audit,
    "torchmortem": torchmortem,
    "published rules": published_rules,
}


def _by_title(title: str) -> str | None:
    return next((check for start, check in TORCHMORTEM.items() if title.startswith(start)), None)


def _in_order(said: list[tuple[str | None, str | None]]) -> tuple[tuple[str, str], ...]:
    """Errors before warnings, each check once."""
    known = [(check, severity) for check, severity in said if check is not None and severity is not None]
    ordered: dict[str, str] = {}
    for check, severity in sorted(known, key=lambda one: one[1] != "error"):
        ordered.setdefault(check, severity)
    return tuple(ordered.items())


def _first_optimizer(scene: Scene) -> Any:
    return scene.optimizer[0] if isinstance(scene.optimizer, list) else scene.optimizer


@contextlib.contextmanager
def _each_step(scene: Scene, told: Callable[[float], None]) -> Iterator[None]:
    """Tell a tool of each step of the first optimizer, with the loss that backward() was called on last."""
    losses: list[float] = []
    backward = torch.Tensor.backward

    def noted(self: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        if self.numel() == 1:
            losses[:] = [float(self.detach())]
        backward(self, *args, **kwargs)

    optimizer = _first_optimizer(scene)
    if optimizer is None:
        yield
        return
    handle = optimizer.register_step_post_hook(lambda *_: told(losses[0]) if losses else None)
    torch.Tensor.backward = noted  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.Tensor.backward = backward  # type: ignore[method-assign]
        handle.remove()
