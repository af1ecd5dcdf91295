"""gradient_flow: does a gradient reach everything that the loss was computed with?"""

from __future__ import annotations

from collections.abc import Sequence

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.judging.complaint import Complaint
from nn_inspector.checks.loop.constant_derivative import kept_derivative
from nn_inspector.checks.loop.cut_inside import cuts_of, without_cuts
from nn_inspector.checks.loop.cut_terms import CutTerm, cut_terms
from nn_inspector.checks.loop.flat_steps import flat_steps
from nn_inspector.checks.loop.source import forward_of, loop_of
from nn_inspector.checks.loop.straight_through import passed_straight
from nn_inspector.checks.loop.traced import clipped_to_nothing
from nn_inspector.checks.loop.unreached import unreached
from nn_inspector.checks.loop.without_gradient import (
    BACKWARD,
    NAMED,
    layers_cut_off,
    nothing_arrives,
    reached,
    zeros_only,
)
from nn_inspector.checks.loop.without_graph import without_graph
from nn_inspector.checks.model.wiring import Wiring, wiring_of
from nn_inspector.checks.race import FAILED, FEWEST, WELL, known_left
from nn_inspector.checks.symptoms import OF_THE_LOOP
from nn_inspector.checks.train.course import course_of
from nn_inspector.errors import ExperimentError, InspectorError
from nn_inspector.experiments import initial_state, isolated
from nn_inspector.experiments.custom_backward import wrong_backward
from nn_inspector.history import Finding, Run

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
        "held against differences of their forward(). Where rows of a table are chosen by argmin, a copy passes the gradient by. If your training failed, it is an error if the function that judges the answers "
        "does not reach layers that they depend on. If a derivative in the loss was computed without its graph, copies are trained "
        "with and without that, and so where something is drawn at random, or judged, without a gradient. Layers that are not used, targets "
        "that are detached and layers that are moved by other means are fine."
    ),
    remedy="Take the cut out of the way from the weights to the loss; keep it for numbers that are only printed.",
    sources=("PyTorch documentation: autograd mechanics, locally disabling gradient computation",),
    explains=(*OF_THE_LOOP, "update_direction"),
)

_ENOUGH = 3
_MOSTLY = 0.8
_NOTABLE = 0.1
"""So much more of the task has a copy to learn without a cut that is read from the code, if it is no proof."""

_STRAIGHT = "Let the gradient pass straight through a choice that has none."
_STRAIGHT_CODE = """\
chosen = codebook(distances.argmin(1))
chosen = given + (chosen - given).detach()  # the numbers of `chosen`, the gradient of `given`"""

_ROUNDED_CODE = "z = z + (torch.round(z) - z).detach()  # the numbers of round(z), the gradient of z"


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
    complaint = (
        nothing_arrives(subject, wiring, cut)
        or _term_without_effect(cut)
        or layers_cut_off(subject, wiring)
        or zeros_only(subject, wiring)
        or _cut_inside(subject)
        or _chosen(subject)
        or _in_steps(subject)
        or _unreached(subject, wiring)
        or _constant_derivative(subject)
        or _without_graph(subject)
        or _wrong_backward(subject)
    )
    if complaint is not None:
        return complaint.finding(INFO)
    message = f"Yes: gradients reach {len(wiring.reached & wiring.stepped)} of {len(wiring.stepped)} parameters that are stepped."
    return finding(INFO, "ok", message, evidence=reached(wiring), basis="structure")


def _are_cleared(run: Run) -> bool:
    """Whether most gradients that arrive are cleared before the step of each optimizer."""
    shares = [run.series("cleared_gradient", source).mean for source in run.sources("cleared_gradient")]
    return bool(shares) and min(shares) > _MOSTLY and not clipped_to_nothing(run)


def _cut_inside(subject: Subject) -> Complaint | None:
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
    return Complaint(
        tried.severity if tried is not None and proven else "warning",
        f"{message} {tried.text}" if tried is not None and proven else message,
        evidence={"between_runs": float(cuts.between)},
        advice="Pass it on as it is. A state is detached between batches, if at all, and not between the steps within one.",
        code="state = cell(inputs[:, step], state)  # not state.detach()",
        where=forward_of(subject).place("cut") or "model.forward",
        basis="experiment" if proven else "structure",
    )


def _chosen(subject: Subject) -> Complaint | None:
    """Rows of a table are chosen, and the network learns once the gradient passes the choice by."""
    trial = passed_straight(subject) if subject.seconds > 0 else None
    if trial is None:
        return None
    return Complaint(
        "error",
        "No: rows of a table are chosen by an argmin or argmax, which has no gradient: what the answers are judged by does not reach the "
        f"layers before it. On a copy, the same loss came to {trial.treated[-1]:.3g} where the choice was passed by, and to "
        f"{trial.without[-1]:.3g} where not.",
        advice=_STRAIGHT,
        code=_STRAIGHT_CODE,
        evidence={"passed_by": trial.treated[-1], "as_it_is": trial.without[-1]},
        trial=trial,
        where=forward_of(subject).place("cut") or "model.forward",
        basis="experiment",
    )


def _in_steps(subject: Subject) -> Complaint | None:
    """Something is rounded, or only its sign is kept, and the network learns once the gradient passes that by."""
    found = flat_steps(subject) if subject.seconds > 0 else None
    if found is None:
        return None
    named, trial = " and ".join(f"{name}()" for name in found.names), found.trial
    return Complaint(
        "error",
        f"No: {named} rises in steps, so that its gradient is zero everywhere: the layers before it learn nothing from what comes after. "
        f"On a copy, the same loss came to {trial.treated[-1]:.3g} where the gradient was passed straight through, and to "
        f"{trial.without[-1]:.3g} where not.",
        advice="Keep the numbers, and let the gradient pass straight through; or leave the rounding out while you train.",
        code=_ROUNDED_CODE,
        evidence={"passed_by": trial.treated[-1], "as_it_is": trial.without[-1]},
        trial=trial,
        where=forward_of(subject).place("cut") or "model.forward",
        basis="experiment",
    )


def _unreached(subject: Subject, wiring: Wiring) -> Complaint | None:
    """What answers the network gives is no matter to its first layers, and it failed."""
    if subject.seconds <= 0 or not (_failed(subject) or _stayed_high(subject)):
        return None
    found = unreached(subject, wiring.stepped & wiring.reached)
    if found is None:
        return None
    more = f" and {len(found.names) - NAMED} more" if len(found.names) > NAMED else ""
    return Complaint(
        "error",
        f"No: {found.loss}() judges the answers, and its gradient does not reach {', '.join(found.names[:NAMED])}{more}, although the "
        "answers depend on them. Something in between cuts it off (argmax, round), and they only learn from the other terms of the loss.",
        evidence={**reached(wiring), "cut_off": float(len(found.names))},
        advice=_STRAIGHT,
        code=_STRAIGHT_CODE,
        where=forward_of(subject).place("cut") or found.names[0],
        basis="experiment",
    )


def _constant_derivative(subject: Subject) -> Complaint | None:
    """A derivative is part of the loss, and nothing of its gradient comes back."""
    trial = kept_derivative(subject) if subject.seconds > 0 else None
    if trial is None:
        return None
    return Complaint(
        "error",
        "No: the loss holds a derivative that torch.autograd.grad computed without its graph. To the training it is a constant: no "
        f"weight is moved to change it. On a copy, the same loss came to {trial.treated[-1]:.3g} with the graph, and to "
        f"{trial.without[-1]:.3g} without.",
        evidence={"with_graph": trial.treated[-1], "without_graph": trial.without[-1]},
        advice="Pass create_graph=True: the derivative can be differentiated then. retain_graph=True keeps only the graph of the output.",
        code="du = torch.autograd.grad(u, t, torch.ones_like(u), create_graph=True)[0]",
        trial=trial,
        where="torch.autograd.grad",
        basis="experiment",
    )


def _without_graph(subject: Subject) -> Complaint | None:
    """What is trained is drawn from, or judged, where no gradient is computed."""
    found = without_graph(subject) if subject.seconds > 0 else None
    if found is None:
        return None
    ends = f"On a copy, the same loss came to {found.trial.treated[-1]:.3g} with its gradient, and to {found.trial.without[-1]:.3g} without."
    said = {
        "drawn": "No: numbers are drawn at random with torch.normal or sample(), which pass no gradient to their mean and spread: what "
        f"made those learns nothing from what comes after. {ends}",
        "judged": "No: a part of the loss is computed within no_grad(), from what is trained. It counts in the number and teaches "
        f"nothing. {ends}",
    }
    advice = {
        "drawn": (
            "Draw so that the gradient passes: mean plus spread times noise, or rsample().",
            "z = mean + std * torch.randn_like(std)",
        ),
        "judged": (
            "Keep only the teacher, or the target, within no_grad(), and what compares with it outside.",
            "with torch.no_grad():\n    target = teacher(x)\nloss = loss + compare(student(x), target)",
        ),
    }
    return Complaint(
        "error",
        said[found.how],
        *advice[found.how],
        trial=found.trial,
        where=forward_of(subject).place("cut") or "model.forward",
        basis="experiment",
        evidence={"with_gradient": found.trial.treated[-1], "without": found.trial.without[-1]},
    )


def _wrong_backward(subject: Subject) -> Complaint | None:
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
    return Complaint(
        "error",
        f"No: what {found.name}.backward() returns is not the gradient of its forward(). Moving some inputs a little shows another "
        f"one; the cosine between the two is {found.cosine:.2f}, where 1 is right.",
        evidence={"cosine": found.cosine},
        advice="Check it with torch.autograd.gradcheck until that passes, or write forward() with torch's own functions and leave "
        "backward() to torch.",
        code=f"x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)\ntorch.autograd.gradcheck({found.name}.apply, (x,))",
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


def _term_without_effect(cut: Sequence[CutTerm]) -> Complaint | None:
    if not cut:
        return None
    first = cut[0]
    return Complaint(
        "error",
        f"No: {first.term.code} is added to the loss, but its gradient is cut off: it has no effect on what is stepped.",
        evidence={"terms": float(len(first.backward.terms)), "without_effect": float(len(cut))},
        advice="Add the tensor itself; detach or convert only the copy that is printed or stored.",
        code=BACKWARD,
        where=first.term.place,
        basis="structure",
    )


CHECK = Check(INFO, look)
