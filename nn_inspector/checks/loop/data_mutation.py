"""data_mutation: are the stored data the same in every epoch?"""

from __future__ import annotations

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.loop.changed_data import Changed, changed_data, read_twice, shares_memory
from nn_inspector.checks.loop.noisy_target import NoisyTarget, noisy_target
from nn_inspector.checks.loop.source import loop_of
from nn_inspector.checks.race import WELL, left_now
from nn_inspector.checks.symptoms import OF_THE_LOOP
from nn_inspector.errors import ExperimentError, InspectorError
from nn_inspector.history import Basis, Finding, Remedy, Run, Severity

INFO = CheckInfo(
    name="data_mutation",
    stage="loop",
    kind="passive",
    question="Do the data stay as they are while you train?",
    why=(
        "An operation in place (x /= 255, x.sub_(mean), image *= mask) on a tensor that the data set still holds changes "
        "the data themselves. In the next epoch they are scaled once more, and soon all inputs are the same. Nothing "
        "warns of it, and validation on clean data looks like another task."
    ),
    how=(
        "Marks of the tensors and arrays behind your loaders are taken when watching begins and compared with those of "
        "now. It is an error if they differ and it is seen who changes them: the loop or the model, by an operation in "
        "place on a batch in its first steps, or the data set or what collates its items, by an item that is another one when it is read again. If the loop "
        "adds noise to a batch in place, and the target is the same tensor under another name, a copy learns the clean one."
    ),
    remedy="Make a new tensor instead: x = x / 255, or image = self.images[index].clone() in the data set.",
    sources=("PyTorch documentation: in-place operations share memory with the tensors they work on",),
    explains=(
        *OF_THE_LOOP,
        "input_scale",
        "target_scale",
        "label_range",
        "missing_values",
        "contradictory_labels",
        "split_shift",
        "label_alignment",
        "zero_input",
        "train_eval_mode",
    ),
)

_IN_THE_LOOP = "for x, y in train_loader:\n    x = x / 255  # a new tensor; x /= 255 would change the data themselves"

_IN_THE_DATA = (
    "def __getitem__(self, index):\n    image = self.images[index].clone()  # change the copy, not the data\n    ..."
)

_IN_THE_MODEL = "def forward(self, x):\n    x = x * self.scale  # a new tensor; x *= self.scale would change the data"

_IN_COLLATING = (
    "def collate(items):\n    items = [item.clone() for item in items]  # change the copies, not the data\n    ..."
)

_CODE = {
    "the loop": _IN_THE_LOOP,
    "the model": _IN_THE_MODEL,
    "the data set": _IN_THE_DATA,
    "the collate function": _IN_COLLATING,
}


def look(subject: Subject) -> Finding:
    """Compare the stored data with what they were, and find out who changes them."""
    training = subject.training
    if not training.beginning.data:
        raise InspectorError("No tensors or arrays were found behind your loaders, so that nothing can be compared.")
    if subject.run.steps == 0 and not list(subject.run.trace):
        raise InspectorError("Nothing was seen yet. Run your training loop for a moment, then look again.")
    changed = changed_data(training)
    spoiled = noisy_target(subject) if not changed and subject.seconds > 0 else None
    if spoiled is not None:
        return _spoiled(spoiled)
    if not changed:
        message = "Yes: the data behind your loaders are what they were when watching began."
        return finding(INFO, "ok", message, evidence={"compared": len(training.beginning.data)}, basis="structure")
    evidence = {"mean_before": changed[0].before.mean, "mean_now": changed[0].now.mean}
    writers = in_place(subject.run)
    if writers and shares_memory(training):
        return _raised(subject, changed, evidence, writers[0])
    try:
        by_reading = read_twice(training, changed) if subject.seconds > 0 else None
    except ExperimentError:
        by_reading = None
    if by_reading:
        return _raised(subject, changed, evidence, by_reading)
    message = (
        f"They do not: {changed[0].place} changed since watching began ({changed[0].text}). If your program does that on "
        "purpose, all is well."
    )
    return finding(INFO, "info", message, evidence=evidence, where=changed[0].place, basis="structure")


def _spoiled(found: NoisyTarget) -> Finding:
    trial = found.seen.trial
    message = (
        f"No: your loop adds noise to the batch in place, so that the target `{found.compared}` is as noisy as the input "
        f"`{found.given}`: they are one tensor, and the network learns to give the noise back. The answers of a copy are "
        f"{trial.without[-1]:.2g} of its variance away from the clean tensor, and {trial.treated[-1]:.2g} if it is told that one."
    )
    remedy = Remedy(
        "Add the noise to a new tensor.",
        "noisy = clean + 0.5 * torch.randn_like(clean)  # or add_noise(clean.clone())",
        trial,
    )
    evidence = {"answer_distance": trial.without[-1], "distance_if_asked": trial.treated[-1]}
    return finding(INFO, "error", message, evidence=evidence, remedy=remedy, where=found.where, basis="experiment")


def in_place(run: Run) -> list[str]:
    """Who wrote into a batch in the first steps: "the loop" or "the model"."""
    found = [str(entry.facts["by"]) for entry in run.trace if entry.call == "written"]
    return list(dict.fromkeys(found))


def _raised(subject: Subject, changed: list[Changed], evidence: dict[str, float], writer: str) -> Finding:
    code = _CODE[writer]
    by_reading = writer in ("the data set", "the collate function")
    how = "each time an item is read" if by_reading else "by an operation in place on its batches"
    message = f"No: {writer} changes the stored data, {how}. Of {changed[0].place} {changed[0].text}."
    severity: Severity = "info" if _does_well(subject) else "error"
    basis: Basis = "experiment" if by_reading else "structure"
    where = loop_of(subject).place("forward") if writer == "the loop" else None
    remedy = Remedy("Work on a copy: the next epoch needs the data as they were.", code)
    return finding(
        INFO, severity, message, evidence=evidence, remedy=remedy, where=where or changed[0].place, basis=basis
    )


def _does_well(subject: Subject) -> bool:
    try:
        kind, left = left_now(subject)
    except InspectorError:
        return False
    return left is not None and left <= WELL[kind]


CHECK = Check(INFO, look)
