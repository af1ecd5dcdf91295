"""loss_learnable: does the loss alone lead to right answers?"""

from __future__ import annotations

import math

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.fit.free_outputs import FreeOutputs, last_layer, minimize
from nn_inspector.checks.fit.itself import found_in_itself
from nn_inspector.checks.fit.likeness import Misled, misled
from nn_inspector.checks.fit.likeness_texts import finding_of
from nn_inspector.checks.fit.ranking import ranked_backwards
from nn_inspector.checks.fit.unheld import HELD_UP, unheld_finding
from nn_inspector.checks.loop.rewards import reward_of_another_action
from nn_inspector.checks.loop.source import loop_of
from nn_inspector.checks.race import BADLY, left_now
from nn_inspector.checks.symptoms import ALL_SYMPTOMS
from nn_inspector.checks.train.curve import LossCurve
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import batch_size, initial_state, isolated
from nn_inspector.experiments.summands import summands
from nn_inspector.history import Chart, Finding, Remedy, curve

INFO = CheckInfo(
    name="loss_learnable",
    stage="fit",
    kind="active",
    question="Does the loss alone lead to right answers?",
    why=(
        "A loss that was put together by hand may be lowest where the answers are wrong: a sign turned around, the wrong "
        "axis, targets of other items, one output that softmax makes a 1. Then the better a network learns, the less it "
        "knows, and nothing else that is changed will help."
    ),
    how=(
        "The network is taken out: on a copy the last layer's outputs for one batch become free numbers, and your loss is "
        "minimized over them. That is the most that any network could do. It is an error if your training did badly and the "
        "answers with the lowest loss are little better than chance, or if the loss does not change at all. Of a loss that ranks "
        "pairs, it is read from the loop whether it ranks them the other way round than they are counted as right, and of a reward whether "
        "it meets the action that earned it. A loss that falls without end has no right answers, nor has one that a few trained numbers, "
        "which the answers do not depend on, take to nothing by themselves. Of a loss that compares items (pairs, triplets), the rows "
        "that it compares become free. It is an error if your training did badly, the loss pulls together what is labelled one way, or "
        "is lowest where all items are alike, and the usual loss for embeddings teaches a copy the opposite. So it is where all pairs are "
        "of two that belong together. So it is if each item is to be found among all, itself included, and the right one is itself."
    ),
    remedy="Try your loss on a few numbers by hand: right answers must give a lower loss than wrong ones.",
    sources=(
        "Slavv, 37 Reasons why your Neural Network is not working (2017): check your loss function, test any custom loss",
        "Karpathy, A Recipe for Training Neural Networks (2019): overfit one batch",
    ),
    explains=(
        *ALL_SYMPTOMS, "initial_loss", "learning_rate", "optimizer_settings", "batch_size", "generalization_gap", "capacity",
        "metric_match", "small_subset_fit", "target_scale", "input_scale",
    ),
)  # fmt: skip

WRONG = 0.5
"""Of what chance leaves wrong, so much is still wrong where the loss is lowest: it leads elsewhere. A loss that fits
leaves nothing, and one with smoothed labels or a margin next to nothing."""

BOTTOMLESS = 1000.0
"""A loss that falls so many times as far below zero as it began above has no bottom; log-likelihoods stay far above that."""

FEWEST = 8
"""In a batch of fewer items chance answers many right."""

LOWER = 0.8
"""A loss that came to this share of what it is said to be always is not always so."""

MOST_ASKED = 0.9
"""Where the loss depends on fewer of the outputs than this, some are left out on purpose."""

TURNED = 1.5
"""Chance makes 1 of the answers' order wrong; from here on they are in the opposite one. A margin that is kept already on the wrong
side leaves those answers out, and asks for them elsewhere."""

_MOST_PAIRS = 0.6

_PLAYED = """\
action = dist.sample()
reward = play(action)
loss = -(dist.log_prob(action) * reward).mean()"""

_SWAPPED = """\
loss = loss_fn(liked, other, torch.ones_like(liked))  # target 1: the first is to be the larger one"""

_OTHER_VIEW = """\
alike = torch.cat([first, second]) @ torch.cat([first, second]).T / temperature
alike.fill_diagonal_(-torch.inf)
target = torch.cat([torch.arange(n) + n, torch.arange(n)])  # n: items in a batch
loss = torch.nn.functional.cross_entropy(alike, target)"""

_TRY = """\
right = torch.nn.functional.one_hot(labels, classes).float() * 10  # what a perfect network would say
wrong = right.roll(1, dims=1)
print(loss_fn(right, labels), loss_fn(wrong, labels))  # the first must be lower"""


def look(subject: Subject) -> Finding:
    """Minimize the loss over the last layer's outputs, and look at the answers that this leads to."""
    told = (
        _of_another_action(subject)
        or _bottomless(subject)
        or unheld_finding(INFO, subject)
        or _backwards(subject)
        or _in_itself(subject)
    )
    if told is not None:
        return told
    compared = _misled(subject)
    if compared is not None:
        return finding_of(INFO, compared)
    seen = subject.anatomy("initial", training=False)
    layer = last_layer(seen)
    batch = subject.batches()[0]
    if batch_size(batch) < FEWEST:
        raise ExperimentError(f"A batch holds {batch_size(batch)} items only, and chance answers many of so few right.")
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        found = minimize(copied, layer, batch, seconds=subject.seconds / 2)
    if not math.isfinite(found.losses[-1]):
        raise ExperimentError(
            f"With the outputs of {layer} free, the loss is no finite number after {len(found.losses) - 1} steps: what it "
            "leads to cannot be seen."
        )
    constant = all(gradient is None or not bool(gradient.any()) for gradient in seen.gradients.values())
    if not found.moved:
        if found.slope:
            raise ExperimentError(
                f"The loss is flat where {layer} begins, but not elsewhere: see vanishing_gradients and saturation."
            )
        if constant and not _was_lower(subject, found.losses[0]):
            return _flat(found)
        raise ExperimentError(
            f"The loss does not depend on {layer} alone, so it cannot be looked at without the network."
        )
    compared = _misled(subject, single=True) if found.compares else None
    return _judged(subject, found) if compared is None else finding_of(INFO, compared)


def _bottomless(subject: Subject) -> Finding | None:
    """A loss that has fallen far below zero: nothing holds it up."""
    seen = LossCurve.of(subject.run)
    if not seen.total or not -math.inf < seen.end < -BOTTOMLESS * max(abs(seen.start), 1.0):
        return None
    return finding(
        INFO,
        "error",
        f"No: the loss has no lowest value. It went from {seen.start:.3g} to {seen.end:.3g}, and the steps go on to where it is lowest, "
        "however wrong the answers are.",
        evidence={"start": seen.start, "end": seen.end},
        remedy=Remedy(
            "Look for a factor or a scale that is trained and may become negative or as large as it likes, or for a term with a minus. "
            "Learned weights of several losses need a term that holds them up.",
            HELD_UP,
        ),
        where="loop",
        basis="structure",
    )


def _of_another_action(subject: Subject) -> Finding | None:
    line = reward_of_another_action(loop_of(subject))
    if line is None:
        return None
    return finding(
        INFO,
        "error",
        "No: the reward is multiplied with the log-probability of an action that is drawn anew there, not of the one that earned it. "
        "Which action is good cannot be learned so.",
        remedy=Remedy("Keep the action that was played, and take its log-probability.", _PLAYED),
        where=line,
        basis="structure",
    )


def _backwards(subject: Subject) -> Finding | None:
    found = ranked_backwards(subject)
    if found is None:
        return None
    lifted = found.share >= _MOST_PAIRS
    done = f" Your network ranks {found.share:.0%} of the pairs in a batch as the loss asks." if lifted else ""
    return finding(
        INFO,
        "error" if lifted else "warning",
        f"No: the loss ranks pairs the other way round than the loop counts them as right ({found.asked}; {found.counted}).{done}",
        evidence={"ranked_as_the_loss_asks": found.share},
        remedy=Remedy("Swap the two in the call of the loss, or take -1 for 1 as the target.", _SWAPPED),
        where=found.asked,
        basis="structure",
    )


def _found_in_itself(subject: Subject) -> int | None:
    """Where that is all of the loss: as one of its terms it may be meant to push all items apart."""
    try:
        items = found_in_itself(subject.anatomy("initial"))
        if items is None:
            return None
        with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
            return items if len(summands(copied, subject.batches()[0], gradients=False)) == 1 else None
    except ExperimentError:
        return None


def _in_itself(subject: Subject) -> Finding | None:
    items = _found_in_itself(subject)
    if items is None:
        return None
    return finding(
        INFO,
        "error",
        f"No: each of {items} items is compared with all of them, itself included, and the right answer is the item itself. "
        "Each item is most like itself from the start, so there is nothing to learn.",
        evidence={"items": float(items)},
        remedy=Remedy(
            "Leave the diagonal out, and take the place of the other view of an item as its target.", _OTHER_VIEW
        ),
        where="cross_entropy",
        basis="structure",
    )


def _judged(subject: Subject, found: FreeOutputs) -> Finding:
    evidence: dict[str, float | list[float]] = {
        "losses": list(found.losses),
        "first_loss": found.losses[0],
        "lowest_loss": min(found.losses),
    }
    fell = f"from {found.losses[0]:.3g} to {found.losses[-1]:.3g}"
    if found.wrong is None:
        return finding(INFO, "ok", f"The loss alone can be minimized: it fell {fell}.", evidence=evidence)
    before, after = found.wrong
    evidence |= {"wrong_before": before, "wrong_after": after}
    if after <= WRONG:
        message = f"Yes: with the outputs of {found.layer or 'the model'} free, the loss fell {fell}, and the answers became right."
        return finding(INFO, "ok", message, evidence=evidence, basis="experiment")
    if not _did_badly(subject):
        message = (
            f"The loss alone leads to other answers than the labels ({after:.0%} wrong, of chance), as may be meant."
        )
        return finding(INFO, "info", message, evidence=evidence, basis="experiment")
    if found.compares:
        raise ExperimentError(
            "The loss compares items with each other: its outputs are embeddings, and no answers that could be right or wrong."
        )
    turned = TURNED <= after < math.inf
    if found.asked < MOST_ASKED and not (turned and found.asked_elsewhere >= MOST_ASKED):
        raise ExperimentError(
            f"The loss leaves out {1 - found.asked:.0%} of the outputs, as a mask does: whether the answers are right cannot be told."
        )
    if found.judged < MOST_ASKED:
        raise ExperimentError(
            f"{1 - found.judged:.0%} of what the loss judges comes from other layers than {found.layer}: it alone cannot make the answers right."
        )
    if found.drawn:
        raise ExperimentError(
            "Your loop draws random numbers that change what is right: whether the answers are cannot be told from the labels."
        )
    course = f"the loss fell {fell}" if found.fell else f"the loss stays at {found.losses[-1]:.3g}"
    if turned:
        worse = "and the lower it is, the more of the answers are the wrong way round"
    elif after >= 0.9:
        worse = "and the answers are no better than chance"
    else:
        worse = f"and {after:.0%} of what chance gets wrong is wrong"
    return finding(
        INFO,
        "error",
        f"No: with the outputs of {found.layer or 'the model'} free to be anything, {course}, {worse}. No network can learn the task with "
        "this loss.",
        evidence=evidence,
        remedy=Remedy(
            "Look for a sign that is turned round, in the loss or where it makes -1 and 1 of the labels."
            if turned
            else "Try the loss by hand on right and on wrong answers, and find what it rewards.",
            _TRY,
        ),
        where=found.layer,
        basis="experiment",
    )


def _misled(subject: Subject, *, single: bool = False) -> Misled | None:
    try:
        return misled(subject, single=single)
    except ExperimentError:  # what cannot be said of pairs may still be said of answers
        return None


def _was_lower(subject: Subject, flat: float) -> bool:
    """Whether the training's own loss was far lower: at the first weights a network in evaluation mode may be another one."""
    seen = LossCurve.of(subject.run)
    return bool(seen.total) and seen.end < LOWER * abs(flat)


def _flat(found: FreeOutputs) -> Finding:
    return finding(
        INFO,
        "error",
        f"No: the loss is {found.losses[0]:.3g} whatever the network says, so that no weight gets a gradient.",
        evidence={"losses": list(found.losses)},
        remedy=Remedy("Find what makes it constant: softmax over one output, round(), a threshold, detach().", _TRY),
        where=found.layer,
        basis="experiment",
    )


def _did_badly(subject: Subject) -> bool:
    try:
        left = left_now(subject)[1]
    except ExperimentError:
        return False
    return left is None or not math.isfinite(left) or left > BADLY


def chart(result: Finding) -> Chart | None:
    """The loss over the steps; of a loss that compares items, the trial of the usual one."""
    losses = result.evidence.get("losses")
    if not isinstance(losses, list) or len(losses) < 2:
        return trial_chart(result)
    return Chart("lines", "step", "loss, with free outputs", {"loss": curve(losses)})


CHECK = Check(INFO, look, chart)
