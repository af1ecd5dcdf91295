"""retained_state: does a step hold on to what belongs to earlier ones?"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch.utils.data import DataLoader, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.loop.carried_state import begin_anew, carrying_layers, in_another_order
from nn_inspector.checks.loop.kept_state import kept_state
from nn_inspector.checks.loop.source import loop_of
from nn_inspector.checks.race import known_left, race, race_in_line
from nn_inspector.checks.symptoms import OF_THE_LOOP
from nn_inspector.checks.train.course import course_of
from nn_inspector.errors import InspectorError
from nn_inspector.experiments import item_sampler
from nn_inspector.history import Basis, Finding, Remedy, Run, Severity

INFO = CheckInfo(
    name="retained_state",
    stage="loop",
    kind="passive",
    question="Does each step begin anew?",
    why=(
        "A hidden state that goes from one batch into the next one without detach() drags the graphs of all earlier steps "
        "along: each step takes longer and more memory than the one before, or backward() fails the second time. And if "
        "the next batch has nothing to do with the last one, as in a shuffled loader, the state is noise."
    ),
    how=(
        "In the first steps it is looked up whether the graph under the loss reaches back into earlier steps: it is an "
        "error if it does so further each time. And it is looked up whether a recurrent layer begins a batch with the "
        "state in which it ended the one before. A copy tells whether the network answers the same batch in another way after "
        "another one, by what it keeps in its attributes. If the batches come in random order, or the training learned little, a "
        "copy is trained that begins anew, and what that gains says how bad it is."
    ),
    remedy="Begin each batch with a fresh state; where batches go on from each other, hand on hidden.detach().",
    sources=(
        "PyTorch tutorials: word-level language modeling, repackage_hidden",
        "Werbos, Backpropagation through time (1990): truncation",
    ),
    explains=(*OF_THE_LOOP, "batch_dependency", "shuffling"),
)

LITTLE = 0.05
"""Where no more than this is left to learn, a state that is carried on did no harm."""

_ENOUGH = 3
"""So many steps in a row must each reach further back than the one before."""

LEARNED = 0.5
"""A training that has come so far from chance to the least possible loss, in the order that its batches have, did learn."""

_NAMED = 3

_DETACH = """\
hidden = tuple(h.detach() for h in hidden)  # keep the values, let go of the graph
output, hidden = model(x, hidden)
loss_fn(output, y).backward()  # without retain_graph=True"""

_FRESH = """\
for x, y in train_loader:
    output, _ = model(x)  # no state of the batch before: the layer begins with zeros"""

_RESET = """\
def forward(self, x):
    self.{attribute} = ...  # anew for each batch, not only while it is None
    ..."""


def look(subject: Subject) -> Finding:
    """Read from the trace how far graphs reach back, and try on a copy whether a state is carried over."""
    reaches = graph_reaches(subject.run)
    if not reaches:
        raise InspectorError("No backward() was seen yet. Run your training loop for a moment, then look again.")
    evidence: dict[str, float | list[float]] = {"steps_reached_back": [float(one) for one in reaches]}
    grows = growing(reaches)
    if grows >= _ENOUGH or (reaches[-1] and _ended_in_backward(subject.run)):
        return _never_detached(subject, reaches, evidence)
    carried = _carried(subject) or _kept(subject)
    if carried is not None:
        return carried
    return finding(INFO, "ok", "Yes: no step reaches back into an earlier one.", evidence=evidence, basis="structure")


def graph_reaches(run: Run) -> list[int]:
    """How many steps the graph of each traced backward pass reaches back."""
    reaches = [entry.facts.get("reaches_back") for entry in run.trace if entry.call == "backward"]
    return [int(reach) for reach in reaches if isinstance(reach, int)]


def growing(reaches: list[int]) -> int:
    """The longest row of steps that each reach further back than the one before.

    Example:
        >>> growing([0, 1, 2, 3]), growing([0, 0, 1, 0, 1])
        (3, 1)
    """
    longest = row = 0
    for before, reach in itertools.pairwise(reaches):
        row = row + 1 if reach > before else 0
        longest = max(longest, row)
    return longest


def _ended_in_backward(run: Run) -> bool:
    """Whether the last thing that was seen of the loop is a backward pass: it has failed."""
    trace = list(run.trace)
    return run.steps < len(trace) and bool(trace) and trace[-1].call == "backward" and trace[-1].step == run.steps


def _never_detached(subject: Subject, reaches: list[int], evidence: dict[str, float | list[float]]) -> Finding:
    if _ended_in_backward(subject.run) and growing(reaches) < _ENOUGH:
        message = (
            "No: the loss still hangs on operations of an earlier step, whose graph is gone: backward() fails the second "
            "time. Something is handed from step to step without detach()."
        )
    else:
        message = (
            f"No: the graph under the loss reaches back to the first step, {max(reaches)} steps and more. Each step takes "
            "longer and more memory than the one before, and updates push weights that are not there any more."
        )
    text = "Detach what goes from one step into the next, or begin each batch anew. Leave out retain_graph=True."
    where = loop_of(subject).place("backward") or "loop"
    return finding(
        INFO, "error", message, evidence=evidence, remedy=Remedy(text, _DETACH), where=where, basis="structure"
    )


def _carried(subject: Subject) -> Finding | None:
    """A state that goes from batch to batch, detached, though the batches have nothing to do with each other."""
    if not _is_drawn_at_random(subject):
        return None
    layers = carrying_layers(subject.run)
    if not layers:
        return None
    what = f"the state of {' and '.join(layers)}"
    message = (
        f"No: {what} goes from one batch into the next one, but the batches come in random order: what was read before has "
        "nothing to do with what comes."
    )
    found = race(subject, begin_anew(layers))
    left = known_left(subject)
    severity: Severity = "info" if left is not None and left <= LITTLE else "warning"
    if found is not None and found.severity != "info":
        severity = found.severity
    text = f"{message} {found.text}" if found is not None and severity != "info" else message
    remedy = Remedy(
        "Begin each batch with a fresh state, or hand out the batches in their order.",
        _FRESH,
        found.trial if found is not None else None,
    )
    basis: Basis = "experiment" if found is not None and found.severity == severity else "structure"
    return finding(INFO, severity, text, evidence={"layers": len(layers)}, remedy=remedy, where=layers[0], basis=basis)


def _kept(subject: Subject) -> Finding | None:
    """A state that the network keeps in attributes of its own, where a copy that begins anew gets much further."""
    if subject.seconds <= 0 or not (_is_drawn_at_random(subject) or _learned_little(subject)):
        return None
    kept = kept_state(subject)
    if kept is None:
        return None
    found = race_in_line(subject, kept.begin_anew)
    if found is None or found.severity == "info":
        return None
    places = kept.places[:_NAMED]
    message = (
        f"No: what the network keeps in {' and '.join(places)} goes from one batch into the next one: it answers the same batch in "
        f"another way after another one. {found.text}"
    )
    remedy = Remedy(
        "Begin each batch with a fresh state: set it at the beginning of forward(), not only the first time, or call what resets it "
        "for each batch.",
        _RESET.format(attribute=places[0].rpartition(".")[2]),
        found.trial,
    )
    evidence = {"attributes": len(kept.places), "answers_apart": kept.apart}
    return finding(INFO, found.severity, message, evidence=evidence, remedy=remedy, where=places[0], basis="experiment")


def _learned_little(subject: Subject) -> bool:
    """Whether the loss says so: batches that go on from each other may be learned well in their own order alone."""
    try:
        return course_of(subject).end < LEARNED
    except InspectorError:
        return False


def _is_drawn_at_random(subject: Subject) -> bool:
    loader = subject.training.train_loader
    if isinstance(loader, Sequence):
        return in_another_order(subject.run, loader)
    kinds = RandomSampler | SubsetRandomSampler | WeightedRandomSampler
    return isinstance(loader, DataLoader) and isinstance(item_sampler(loader), kinds)


CHECK = Check(INFO, look, trial_chart)
