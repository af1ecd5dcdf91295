"""gradient_flow: does a gradient reach everything that the loss was computed with?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.loop.constant_derivative import kept_derivative
from nn_inspector.checks.loop.cut_inside import cuts_of, without_cuts
from nn_inspector.checks.loop.cut_terms import CutTerm, cut_terms
from nn_inspector.checks.loop.reading import Held, Reading
from nn_inspector.checks.loop.source import forward_of, loop_of
from nn_inspector.checks.loop.traced import clipped_to_nothing
from nn_inspector.checks.loop.unreached import unreached
from nn_inspector.checks.model.fresh import looks_fresh
from nn_inspector.checks.model.wiring import Wiring, parameters_of, wiring_of
from nn_inspector.checks.race import FAILED, FEWEST, WELL, known_left
from nn_inspector.checks.symptoms import OF_THE_LOOP
from nn_inspector.checks.train.course import course_of
from nn_inspector.errors import ExperimentError, InspectorError
from nn_inspector.experiments import Start, evaluate, initial_state, isolated
from nn_inspector.experiments.custom_backward import wrong_backward
from nn_inspector.history import Basis, Finding, Remedy, Run, Severity

INFO = CheckInfo(
    name="gradient_flow",
    stage="loop",
    kind="passive",
    question="Does a gradient reach everything that the loss was computed with?",
    why=(
        "detach(), .data, item(), numpy(), argmax() and no_grad() cut the graph: what was computed before gets no gradient. "
        "Where that happens by accident, a part of the network, or a part of the loss, has no effect on the training."
    ),
    how=(
        "It is an error if an optimizer makes steps while none of its parameters ever got a gradient. A layer that gets none "
        "is an error if it looks as if it had just been made and the loss changes when its weights do, on a copy. The loop "
        "is read for summands of the loss that are cut off from what is stepped. So are matrices that stay zero because their gradient is. "
        "Where forward() detaches something, a copy that does not is trained. Functions with a backward() of your own are "
        "held against differences of their forward(). If your training failed, it is an error if the function that judges the answers "
        "does not reach layers that they depend on. If a derivative in the loss was computed without its graph, copies are trained "
        "with and without that. Layers that are not used, targets "
        "that are detached and layers that are moved by other means are fine."
    ),
    remedy="Take the cut out of the way from the weights to the loss; keep it for numbers that are only printed.",
    sources=("PyTorch documentation: autograd mechanics, locally disabling gradient computation",),
    explains=(*OF_THE_LOOP, "update_direction"),
)

ENOUGH_NORMS = 10
"""Of so many measured steps each gradient has to be 0."""

_ENOUGH = 3
_TWO = 2
_MOSTLY = 0.8
_NAMED = 3
_NOISE = 0.5
_NOTICEABLE = 1e-6
_NOTABLE = 0.1
"""So much more of the task has a copy to learn without a cut that is read from the code, if it is no proof."""


def look(subject: Subject) -> Finding:
    """Look for parameters without a gradient, and for summands of the loss without effect."""
    run = subject.run
    if run.steps < _ENOUGH or not (run.sources("gradient_norm") or run.sources("learning_rate")):
        raise InspectorError("Too few steps were seen yet. Run your training loop for a moment, then look again.")
    wiring, reading = wiring_of(subject), loop_of(subject)
    if not wiring.stepped:
        raise InspectorError("No optimizer that is watched holds parameters of this model.")
    if _are_cleared(run):
        raise InspectorError("Gradients arrive, but they are cleared before each step: see zeroed_gradients.")
    cut = cut_terms(reading)
    result = (
        _nothing_arrives(subject, wiring, cut)
        or _term_without_effect(cut)
        or _cut_off(subject, wiring)
        or _zeros_only(subject, wiring)
        or _cut_inside(subject)
        or _unreached(subject, wiring)
        or _constant_derivative(subject)
        or _wrong_backward(subject)
    )
    if result is not None:
        return result
    reached = len(wiring.reached & wiring.stepped)
    message = f"Yes: gradients reach {reached} of {len(wiring.stepped)} parameters that are stepped."
    return finding(INFO, "ok", message, evidence=_evidence(wiring), basis="structure")


def _are_cleared(run: Run) -> bool:
    """Whether most gradients that arrive are cleared before the step of each optimizer."""
    shares = [run.series("cleared_gradient", source).mean for source in run.sources("cleared_gradient")]
    return bool(shares) and min(shares) > _MOSTLY and not clipped_to_nothing(run)


def _nothing_arrives(subject: Subject, wiring: Wiring, cut: Sequence[CutTerm]) -> Finding | None:
    """An optimizer of this model makes steps, and none of its parameters ever got a gradient."""
    own = {id(parameter): name for name, parameter in wiring.parameters.items()}
    for index, optimizer in enumerate(subject.training.optimizers):
        names = [own[id(p)] for p in parameters_of(optimizer) if id(p) in own]
        idle = not set(names) & (wiring.reached | (wiring.moved or set()))
        if not names or not idle or not _has_stepped(subject, index):
            continue
        alone = next((one for one in cut if one.alone), None)
        where = (
            alone.term.place if alone is not None else forward_of(subject).place("cut") or _first_cut(loop_of(subject))
        )
        which = f"optimizer {index}" if len(subject.training.optimizers) > 1 else "the optimizer"
        return finding(
            INFO,
            "error",
            f"No: {which} made steps, but none of its {len(names)} parameters ever got a gradient.",
            evidence=_evidence(wiring),
            remedy=_remedy(
                "Look for what cuts the loss off from the weights, or for a loss that is made anew as a tensor."
            ),
            where=where or names[0],
            basis="structure",
        )
    return None


def _zeros_only(subject: Subject, wiring: Wiring) -> Finding | None:
    """Matrices that are all zero, and whose gradients are, too, at every step: factors of one product, for one."""
    stuck = []
    for name in sorted(wiring.reached & wiring.stepped):
        norms = subject.run.series("gradient_norm", name).values
        parameter = wiring.parameters[name]
        if len(norms) >= ENOUGH_NORMS and not norms.any() and parameter.dim() > 1 and not bool(parameter.any()):
            stuck.append(name)
    if len(stuck) < _TWO:
        return None
    named = ", ".join(stuck[:_NAMED]) + (", ..." if len(stuck) > _NAMED else "")
    return finding(
        INFO,
        "error",
        f"No: {len(stuck)} matrices are all zero and never got a gradient other than 0 ({named}). Where two of them are multiplied "
        "with each other, each waits for the other one for ever.",
        evidence={"matrices": float(len(stuck))},
        remedy=Remedy(
            "Let one of two factors begin with random numbers; only the other one may begin with zeros.",
            "torch.nn.init.kaiming_uniform_(layer.lora_A)  # and lora_B with zeros; then make the optimizer",
        ),
        where=stuck[0],
        basis="structure",
    )


def _cut_inside(subject: Subject) -> Finding | None:
    """The forward pass detaches something, and the network learns once it does not."""
    cuts = cuts_of(subject) if subject.seconds > 0 else None
    tried = without_cuts(subject, cuts) if cuts is not None else None
    proven = tried is not None and tried.severity != "info"
    against = tried is not None and not proven and tried.treated[-1] > tried.left - _NOTABLE
    if cuts is None or not (proven or (cuts.each_step and not against and _failed(subject))):
        return None
    message = "No: within the forward pass something is detached that the answers depend on."
    if cuts.each_step:
        message = (
            f"No: what a layer gave is detached before it gets it again, {cuts.between} times in a forward pass. It never learns what "
            "to keep for later."
        )
    return finding(
        INFO,
        tried.severity if tried is not None and proven else "warning",
        f"{message} {tried.text}" if tried is not None and proven else message,
        evidence={"between_runs": float(cuts.between)},
        remedy=Remedy(
            "Pass it on as it is. A state is detached between batches, if at all, and not between the steps within one.",
            "state = cell(inputs[:, step], state)  # not state.detach()",
        ),
        where=forward_of(subject).place("cut") or "model.forward",
        basis="experiment" if proven else "structure",
    )


def _unreached(subject: Subject, wiring: Wiring) -> Finding | None:
    """What answers the network gives is no matter to its first layers, and it failed."""
    if subject.seconds <= 0 or not (_failed(subject) or _stayed_high(subject)):
        return None
    found = unreached(subject, wiring.stepped & wiring.reached)
    if found is None:
        return None
    more = f" and {len(found.names) - _NAMED} more" if len(found.names) > _NAMED else ""
    return finding(
        INFO,
        "error",
        f"No: {found.loss}() judges the answers, and its gradient does not reach {', '.join(found.names[:_NAMED])}{more}, although the "
        "answers depend on them. Something in between cuts it off (argmax, round), and they only learn from the other terms of the loss.",
        evidence={**_evidence(wiring), "cut_off": float(len(found.names))},
        remedy=Remedy(
            "Let the gradient pass straight through a choice that has none.",
            "chosen = codebook(distances.argmin(1))\n"
            "chosen = given + (chosen - given).detach()  # the numbers of `chosen`, the gradient of `given`",
        ),
        where=forward_of(subject).place("cut") or found.names[0],
        basis="experiment",
    )


def _constant_derivative(subject: Subject) -> Finding | None:
    """A derivative is part of the loss, and nothing of its gradient comes back."""
    trial = kept_derivative(subject) if subject.seconds > 0 else None
    if trial is None:
        return None
    return finding(
        INFO,
        "error",
        "No: the loss holds a derivative that torch.autograd.grad computed without its graph. To the training it is a constant: no "
        f"weight is moved to change it. On a copy, the same loss came to {trial.treated[-1]:.3g} with the graph, and to "
        f"{trial.without[-1]:.3g} without.",
        evidence={"with_graph": trial.treated[-1], "without_graph": trial.without[-1]},
        remedy=Remedy(
            "Pass create_graph=True: the derivative can be differentiated then. retain_graph=True keeps only the graph of the output.",
            "du = torch.autograd.grad(u, t, torch.ones_like(u), create_graph=True)[0]",
            trial,
        ),
        where="torch.autograd.grad",
        basis="experiment",
    )


def _wrong_backward(subject: Subject) -> Finding | None:
    """A function of the user's own whose backward() does not belong to its forward()."""
    if subject.seconds <= 0:
        return None
    try:
        with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
            found = wrong_backward(copied, subject.batches()[0])
    except ExperimentError:
        return None
    left = known_left(subject) if found is not None else None
    if found is None or (left is not None and left <= min(WELL.values())):
        return None
    return finding(
        INFO,
        "error",
        f"No: what {found.name}.backward() returns is not the gradient of its forward(). Moving some inputs a little shows another "
        f"one; the cosine between the two is {found.cosine:.2f}, where 1 is right.",
        evidence={"cosine": found.cosine},
        remedy=Remedy(
            "Check it with torch.autograd.gradcheck until that passes, or write forward() with torch's own functions and leave "
            "backward() to torch.",
            f"x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)\ntorch.autograd.gradcheck({found.name}.apply, (x,))",
        ),
        where=f"{found.name}.backward",
        basis="experiment",
    )


def _failed(subject: Subject) -> bool:
    return subject.run.steps >= FEWEST and (known_left(subject) or 0.0) > FAILED


def _stayed_high(subject: Subject) -> bool:
    """Whether the loss says so, where it is not known what the answers should be."""
    try:
        course = course_of(subject)
    except InspectorError:
        return False
    return course.levels is not None and course.end < 1 - FAILED


def _has_stepped(subject: Subject, index: int) -> bool:
    steps = [entry for entry in subject.run.trace if entry.call == "step" and entry.facts.get("optimizer") == index]
    return len(steps) >= _ENOUGH


def _first_cut(reading: Reading) -> str | None:
    """The first line of the loop that cuts something off before backward()."""
    before: list[str] = []
    for event in reading.events:
        if event.kind == "backward":
            return before[-1] if before else None
        if event.kind == "cut":
            before.append(event.place)
    return None


def _term_without_effect(cut: Sequence[CutTerm]) -> Finding | None:
    if not cut:
        return None
    first = cut[0]
    return finding(
        INFO,
        "error",
        f"No: {first.term.code} is added to the loss, but its gradient is cut off: it has no effect on what is stepped.",
        evidence={"terms": float(len(first.backward.terms)), "without_effect": float(len(cut))},
        remedy=_remedy("Add the tensor itself; detach or convert only the copy that is printed or stored."),
        where=first.term.place,
        basis="structure",
    )


def _cut_off(subject: Subject, wiring: Wiring) -> Finding | None:
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
    more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
    message = f"{', '.join(lost[:_NAMED])}{more} never got a gradient, although the loss depends on them"
    if severity == "info":
        message += ". On purpose if they were trained before."
    else:
        message = (
            f"No: {message}: something between them and the loss cuts it off. They are as they were made at the start."
        )
    return finding(
        INFO,
        severity,
        message,
        evidence={**_evidence(wiring), "cut_off": float(len(lost))},
        remedy=_remedy("Take the cut out of the forward pass, or freeze these layers if it is meant."),
        where=forward_of(subject).place("cut") or _first_cut(loop_of(subject)) or lost[0],
        basis=basis,
    )


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


def _remedy(text: str) -> Remedy:
    return Remedy(
        text, "loss = loss_fn(model(x), y)\nloss.backward()\nprint(loss.item())  # after backward(), for people"
    )


def _evidence(wiring: Wiring) -> dict[str, float]:
    return {"stepped": float(len(wiring.stepped)), "with_gradient": float(len(wiring.reached & wiring.stepped))}


CHECK = Check(INFO, look)
