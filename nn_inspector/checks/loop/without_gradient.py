"""Parameters that never got a gradient, or never another one than zero: an optimizer's, some layers', or factors of one product."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.checks.judging.complaint import Complaint
from nn_inspector.checks.loop.cut_terms import CutTerm, first_cut
from nn_inspector.checks.loop.reading import Held
from nn_inspector.checks.loop.source import forward_of, loop_of
from nn_inspector.checks.model.fresh import looks_fresh
from nn_inspector.checks.model.wiring import Wiring, parameters_of
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Start, evaluate, isolated
from nn_inspector.history import Basis, Severity

ENOUGH_NORMS = 10
"""Of so many measured steps each gradient has to be 0."""

BACKWARD = "loss = loss_fn(model(x), y)\nloss.backward()\nprint(loss.item())  # after backward(), for people"
"""What a loss is for, as code."""

NAMED = 3
"""So many parameters are named."""

_ENOUGH = 3
_TWO = 2
_NOISE = 0.5
_NOTICEABLE = 1e-6


def nothing_arrives(subject: Subject, wiring: Wiring, cut: Sequence[CutTerm]) -> Complaint | None:
    """An optimizer of this model makes steps, and none of its parameters ever got a gradient."""
    own = {id(parameter): name for name, parameter in wiring.parameters.items()}
    for index, optimizer in enumerate(subject.training.optimizers):
        names = [own[id(p)] for p in parameters_of(optimizer) if id(p) in own]
        idle = not set(names) & (wiring.reached | (wiring.moved or set()))
        if not names or not idle or not _has_stepped(subject, index):
            continue
        alone = next((one for one in cut if one.alone), None)
        where = (
            alone.term.place if alone is not None else forward_of(subject).place("cut") or first_cut(loop_of(subject))
        )
        which = f"optimizer {index}" if len(subject.training.optimizers) > 1 else "the optimizer"
        return Complaint(
            "error",
            f"No: {which} made steps, but none of its {len(names)} parameters ever got a gradient.",
            "Look for what cuts the loss off from the weights, or for a loss that is made anew as a tensor.",
            BACKWARD,
            where=where or names[0],
            evidence=reached(wiring),
        )
    return None


def zeros_only(subject: Subject, wiring: Wiring) -> Complaint | None:
    """Matrices that are all zero, and whose gradients are, too, at every step: factors of one product, for one."""
    stuck = []
    for name in sorted(wiring.reached & wiring.stepped):
        norms = subject.run.series("gradient_norm", name).values
        parameter = wiring.parameters[name]
        if len(norms) >= ENOUGH_NORMS and not norms.any() and parameter.dim() > 1 and not bool(parameter.any()):
            stuck.append(name)
    if len(stuck) < _TWO:
        return None
    named = ", ".join(stuck[:NAMED]) + (", ..." if len(stuck) > NAMED else "")
    return Complaint(
        "error",
        f"No: {len(stuck)} matrices are all zero and never got a gradient other than 0 ({named}). Where two of them are multiplied "
        "with each other, each waits for the other one for ever.",
        "Let one of two factors begin with random numbers; only the other one may begin with zeros.",
        "torch.nn.init.kaiming_uniform_(layer.lora_A)  # and lora_B with zeros; then make the optimizer",
        where=stuck[0],
        evidence={"matrices": float(len(stuck))},
    )


def layers_cut_off(subject: Subject, wiring: Wiring) -> Complaint | None:
    """Some layers get no gradient, although the loss depends on them."""
    still = wiring.stepped - wiring.reached - (wiring.moved or set())
    names = [name for name in wiring.trainable if name in still]
    if not names or wiring.moved is None or not wiring.reached & wiring.stepped:
        return None
    by_layer: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_layer[name.rpartition(".")[0]].append(name)
    used, basis = _used_layers(subject, by_layer)
    if not used:
        return None
    lost = [name for layer in used for name in by_layer[layer]]
    fresh = looks_fresh(subject.training.model, subject.training.initial or {}, lost)
    severity: Severity = "info" if not fresh else "error" if basis == "experiment" else "warning"
    more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
    message = f"No: {', '.join(lost[:NAMED])}{more} never got a gradient, although the loss depends on them"
    message += (
        ". On purpose if they were trained before."
        if severity == "info"
        else ": something between them and the loss cuts it off. They are as they were made at the start."
    )
    return Complaint(
        severity,
        message,
        "Take the cut out of the forward pass, or freeze these layers if it is meant.",
        BACKWARD,
        where=forward_of(subject).place("cut") or first_cut(loop_of(subject)) or lost[0],
        basis=basis,
        evidence={**reached(wiring), "cut_off": float(len(lost))},
    )


def reached(wiring: Wiring) -> dict[str, float]:
    """How many parameters are stepped, and how many of those got a gradient."""
    return {"stepped": float(len(wiring.stepped)), "with_gradient": float(len(wiring.reached & wiring.stepped))}


def _used_layers(subject: Subject, by_layer: Mapping[str, list[str]]) -> tuple[list[str], Basis]:
    """Those on whose weights the loss depends: seen on a copy, else read from the model's source."""
    try:
        return _used_on_a_copy(subject, by_layer), "experiment"
    except ExperimentError:
        pass
    modules = dict(subject.training.model.named_modules())
    cut = {held.it for event in forward_of(subject).of("cut") for held in event.target.live if isinstance(held, Held)}
    inside = {id(part) for module in cut if isinstance(module, torch.nn.Module) for part in module.modules()}
    return [layer for layer in by_layer if layer in modules and id(modules[layer]) in inside], "structure"


def _used_on_a_copy(subject: Subject, by_layer: Mapping[str, list[str]]) -> list[str]:
    if subject.seconds <= 0:
        raise ExperimentError("This needs a copy, and there is no time left for one.")
    batch = subject.batches()[0]
    used = []
    with isolated(subject.training, start=Start()) as copied, torch.no_grad():
        parameters = dict(copied.model.named_parameters())
        before = evaluate(copied, batch)
        for layer, names in by_layer.items():
            held = [(parameters[name], parameters[name].clone()) for name in names]
            for parameter, value in held:
                spread = float(value.float().std()) if value.numel() > 1 else 0.0
                parameter.add_(torch.randn_like(value), alpha=_NOISE * max(spread, 0.1))
            if abs(evaluate(copied, batch) - before) > _NOTICEABLE * (1 + abs(before)):
                used.append(layer)
            for parameter, value in held:
                parameter.copy_(value)
    return used


def _has_stepped(subject: Subject, index: int) -> bool:
    steps = [entry for entry in subject.run.trace if entry.call == "step" and entry.facts.get("optimizer") == index]
    return len(steps) >= _ENOUGH
