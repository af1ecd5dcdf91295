"""optimizer_step: are steps made, and do they change the parameters?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.loop.averaged import BEHIND, failing_average
from nn_inspector.checks.loop.rounded import rounded_away
from nn_inspector.checks.loop.shrunk import race_to_whole_weights, shrunk_weights
from nn_inspector.checks.loop.source import loop_of
from nn_inspector.checks.loop.undone import (
    place_of_undoing,
    race_to_plain_steps,
    set_back_passes,
    set_back_regularly,
    undone_steps,
)
from nn_inspector.checks.loop.wasted import one_forward, step_behind_batches, wasted_batches
from nn_inspector.checks.model.wiring import Wiring, first_names, wiring_of
from nn_inspector.checks.symptoms import OF_THE_LOOP
from nn_inspector.errors import InspectorError
from nn_inspector.history import Finding, Remedy, Run

INFO = CheckInfo(
    name="optimizer_step",
    stage="loop",
    kind="passive",
    question="Are steps made, and do they change the parameters?",
    why=(
        "Only optimizer.step() changes the weights. A loop that never reaches it, or whose steps are lost on the way, "
        "prints a loss like any other and learns nothing."
    ),
    how=(
        "Steps, gradients and changes are counted. It is an error if your loop ran and no weight is other than it was, if "
        "every learning rate is 0, or if parameters get gradients while not one of their numbers ever changes. So it is if "
        "the step stands behind the loop over the batches, which clears the gradients of all but the last. Where most of each "
        "step is taken back before the model is called again, or half of what each pass over the data changes, or of what the steps between "
        "two validations do, copies train with "
        "and without that. An average of the weights that you validate is put into a copy: it is a warning if it fails on training "
        "data that the network itself has learned. Updates by hand count as steps."
    ),
    remedy="Call loss.backward() and then optimizer.step() for each batch, with a learning rate above 0.",
    sources=("PyTorch documentation: torch.optim, taking an optimization step",),
    explains=(*OF_THE_LOOP, "update_direction", "gradient_flow", "zeroed_gradients", "loss_reduction"),
)

ENOUGH_PASSES = 5
"""A loop whose source is known and that called the model so often should have made a step."""

ENOUGH_STEPS = 5
"""Of fewer measured steps nothing is said about parameters that did not change."""

NO_GRADIENT = 1e-10
"""A gradient with a smaller norm may be too small to change a number; `vanishing_gradients` is about that."""

_NAMED = 3

_AVERAGE = """\
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
# after each step of the optimizer:
averaged.update_parameters(model)
# and validate `averaged`, train `model`"""

_BUFFERS = """\
for mine, its in zip(averaged.buffers(), model.buffers()):
    mine.copy_(its)"""

_LOOP = """\
for x, y in train_loader:
    optimizer.zero_grad()
    loss = loss_fn(model(x), y)
    loss.backward()
    optimizer.step()"""


def look(subject: Subject) -> Finding:
    """Read from the run whether steps were made and what they changed."""
    wiring = wiring_of(subject)
    if not subject.run.steps:
        return _without_steps(subject, wiring)
    return (
        _zero_rates(subject)
        or _behind_the_loop(subject)
        or _undone(subject)
        or _shrunk(subject)
        or _rounded(subject)
        or _dropped(subject, wiring)
        or _averaged(subject)
        or _sound(subject, wiring)
    )


def _without_steps(subject: Subject, wiring: Wiring) -> Finding:
    passes = sum(entry.call == "forward" for entry in subject.run.trace)
    if wiring.moved or wiring.elsewhere:
        return finding(
            INFO, "ok", "Yes: the weights change, though by no optimizer that is watched.", basis="structure"
        )
    reading = loop_of(subject)
    if passes < ENOUGH_PASSES or wiring.moved is None or not reading.events:
        raise InspectorError("No step was seen yet. Run your training loop for a moment, then look again.")
    missing = "backward() is not called either" if not reading.of("backward") else "backward() is called"
    if reading.of("step", "weights"):
        missing = f"step() is written in it, but was not reached ({reading.of('step', 'weights')[0].place})"
    return finding(
        INFO,
        "error",
        f"No: your loop called the model {passes:,} times, and every weight is what it was; {missing}.",
        evidence={"forward_passes": float(passes), "steps": 0.0},
        remedy=Remedy("Run the loop that trains: backward() and step() for each batch.", _LOOP),
        where=reading.place("step") or reading.place("backward") or reading.place("loss", "forward"),
        basis="structure",
    )


def _zero_rates(subject: Subject) -> Finding | None:
    run = subject.run
    largest = [run.series("learning_rate", source).high.max() for source in run.sources("learning_rate")]
    if not largest or max(largest) != 0:
        return None
    message = f"No: the learning rate was 0 in all of {run.steps:,} steps."
    remedy = Remedy("Set a learning rate.", 'for group in optimizer.param_groups:\n    group["lr"] = 1e-3')
    where = loop_of(subject).place("optimizer") or "optimizer"
    return finding(INFO, "error", message, evidence={"rate": 0.0}, remedy=remedy, where=where, basis="structure")


def _behind_the_loop(subject: Subject) -> Finding | None:
    """A step once a pass over the data, whose gradients are those of its last batch: it is not indented far enough."""
    reading = loop_of(subject)
    step = step_behind_batches(reading)
    wasted = wasted_batches(subject.run, reading) if step is not None else 0
    if step is None or not wasted or one_forward(subject.run):
        return None
    return finding(
        INFO,
        "error",
        f"No: step() stands behind the loop over the batches and is called once for {wasted + 1} of them. The gradients are "
        "cleared at every batch, so that each step follows the last one alone.",
        evidence={"batches_a_step": wasted + 1.0, "steps": float(subject.run.steps)},
        remedy=Remedy("Indent optimizer.step() so that it stands within the loop over the batches.", _LOOP),
        where=step.place,
        basis="structure",
    )


def _undone(subject: Subject) -> Finding | None:
    """Steps that are taken back before they are used, as where an average of the weights is put into the model each time."""
    run = subject.run
    undone = undone_steps(run) or set_back_passes(run) or set_back_regularly(run)
    if undone is None:
        return None
    tried = race_to_plain_steps(subject, undone)
    raised = tried is not None and tried.severity != "info"
    message = undone.text
    return finding(
        INFO,
        tried.severity if tried is not None else "info",
        f"No: {message}. {tried.text}" if tried is not None and raised else f"{message}. No harm of it is known.",
        evidence={"undone": undone.share, "steps": float(run.steps)},
        remedy=Remedy(
            "Leave the weights that are trained as step() made them. Keep an average of them in a copy, and validate that: what is put "
            "into the model for validation has to be taken out again (and what is kept meanwhile must be a clone).",
            _AVERAGE,
            tried.trial if tried is not None else None,
        ),
        where=place_of_undoing(loop_of(subject)),
        basis="experiment" if tried is not None else "structure",
    )


def _shrunk(subject: Subject) -> Finding | None:
    """Weights that are made smaller after each step, as by an average that is kept in the weights themselves."""
    shrunk = shrunk_weights(subject.run)
    tried = race_to_whole_weights(subject, shrunk) if shrunk is not None else None
    if shrunk is None or tried is None or tried.severity == "info":
        return None
    return finding(
        INFO,
        tried.severity,
        f"No: after each step, something besides the optimizer takes {shrunk.share:.2g} of all weights away: it pulls them back to 0. "
        f"{tried.text}",
        evidence={"shrunk": shrunk.share, "steps": float(subject.run.steps)},
        remedy=Remedy(
            "Leave the weights that are trained as step() made them. An average of them needs tensors of its own: parameter.data is "
            "the weight itself, and not a copy.",
            "shadow = {name: p.detach().clone() for name, p in model.named_parameters()}  # not p.data",
            tried.trial,
        ),
        where=place_of_undoing(loop_of(subject)),
        basis="experiment",
    )


def _rounded(subject: Subject) -> Finding | None:
    """Weights in a format that is too coarse for the steps."""
    found = rounded_away(subject)
    if found is None:
        return None
    dtype = str(found.dtype).removeprefix("torch.")
    return finding(
        INFO,
        "error",
        f"No: {found.share:.0%} of the numbers that a step should have changed stayed what they were, on a copy. Your weights are "
        f"{dtype}, and the steps are smaller than the distance from one such number to the next.",
        evidence={"lost": found.share, "steps": float(subject.run.steps)},
        remedy=Remedy(
            f"Keep the weights in float32, and let autocast compute in {dtype} where that is safe.",
            f"model = model.float()  # before the optimizer is made\n"
            f"with torch.autocast(x.device.type, dtype=torch.{dtype}):\n    loss = loss_fn(model(x), y)",
        ),
        basis="experiment",
    )


def _dropped(subject: Subject, wiring: Wiring) -> Finding | None:
    """Parameters that got gradients and never changed, while others did."""
    run, moved = subject.run, wiring.moved
    if moved is None or not wiring.stepped & moved:
        return None
    rates, known = _rates(subject), first_names(subject.training, wiring.parameters)
    lost = [
        name
        for name in wiring.trainable
        if name in known and name in wiring.stepped and name not in moved | wiring.replaced and rates.get(name, 0.0) > 0
        if _should_move(run, name, wiring.parameters[name], rates[name])
    ]
    if not lost:
        return None
    gradient = max(float(np.median(run.series("gradient_norm", name).values)) for name in lost)
    more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
    return finding(
        INFO,
        "error",
        f"No: {', '.join(lost[:_NAMED])}{more} got gradients (norm {gradient:.2g}), but not one number there ever changed, "
        f"while {len(wiring.stepped & moved)} other parameters moved.",
        evidence={
            "unchanged": float(len(lost)),
            "gradient_norm": gradient,
            "moved": float(len(wiring.stepped & moved)),
        },
        remedy=Remedy(
            "Look at what step() does with these: a custom optimizer that passes over them, a hook that undoes the step, or "
            "memory that is not contiguous on a device with a defect.",
            "with torch.no_grad():\n    for parameter in model.parameters():\n        parameter.data = parameter.data.contiguous()",
        ),
        where=lost[0],
        basis="structure",
    )


def _averaged(subject: Subject) -> Finding | None:
    """Steps that the network has learned from, and that an average of its weights does not follow."""
    found = failing_average(subject)
    if found is None:
        return None
    steps, place = subject.run.steps, found.place
    message = (
        f"Yes, but `{place}`, an average of the weights that you validate, has learned {max(0.0, 1 - found.left):.0%} of the training data, "
        f"and the network itself {1 - found.network:.0%}."
    )
    if found.buffers:
        message += " Its buffers are at fault, such as the statistics of batch normalization: they do not follow those of the network."
        text, code = "Let the buffers follow as well.", _BUFFERS
    elif found.way is not None and found.way < BEHIND:
        gone = f"has gone {found.way:.1%} of the way of the weights" if found.way > 0 else "has not moved"
        message += f" After {steps:,} steps it {gone}: it is still made of the first ones."
        decay = float(f"{max(0.5, 1 - 10 / steps):.2g}")
        text = f"Update the average after every step, with a decay that fits {steps:,} steps, such as {decay:g}, or one that begins low."
        code = f"decay = min({decay:g}, (1 + step) / (10 + step))"
    else:
        text = "Look at how the average is updated: the shares of the old and the new have to add up to 1."
        code = _AVERAGE
    evidence = {"average_left": found.left, "network_left": found.network, "steps": float(steps)}
    if found.way is not None:
        evidence["way"] = found.way
    remedy = Remedy(text, code)
    return finding(INFO, "warning", message, evidence=evidence, remedy=remedy, where=place, basis="experiment")


def _should_move(run: Run, name: str, parameter: torch.Tensor, rate: float) -> bool:
    """Whether the gradients would have changed a number of this parameter, if a step had been made along them."""
    gradients, updates = run.series("gradient_norm", name), run.series("update_norm", name)
    if updates.total < ENOUGH_STEPS or not len(gradients):
        return False
    usual = float(np.median(gradients.values))
    weight = float(parameter.detach().float().norm())
    return usual > NO_GRADIENT and rate * usual > 10 * torch.finfo(_floating(parameter)).eps * weight


def _floating(parameter: torch.Tensor) -> torch.dtype:
    return parameter.dtype if parameter.is_floating_point() else torch.float32


def _rates(subject: Subject) -> dict[str, float]:
    """The present learning rate of each parameter."""
    names = {id(parameter): name for name, parameter in subject.training.model.named_parameters()}
    groups: Sequence[dict[str, object]] = [g for one in subject.training.optimizers for g in one.param_groups]
    return {
        names[id(parameter)]: float(group.get("lr") or 0.0)  # type: ignore[arg-type]
        for group in groups
        for parameter in group["params"]  # type: ignore[attr-defined]
        if id(parameter) in names
    }


def _sound(subject: Subject, wiring: Wiring) -> Finding:
    steps = subject.run.steps
    moved = len(wiring.moved) if wiring.moved is not None else None
    evidence = {"steps": float(steps)} | ({"moved": float(moved)} if moved is not None else {})
    changed = f", and {moved} of {len(wiring.parameters)} parameters changed" if moved is not None else ""
    return finding(INFO, "ok", f"{steps:,} steps were made{changed}.", evidence=evidence, basis="structure")


CHECK = Check(INFO, look)
