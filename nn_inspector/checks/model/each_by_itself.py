"""Whether the size of the items tells the answer, and is taken from each of them by itself: tried on copies."""

from __future__ import annotations

from collections.abc import Sequence

from nn_inspector.checks.base import CheckInfo, Subject, finding
from nn_inspector.checks.model.own_scale import (
    OwnScale,
    has_channels,
    left_out,
    of_all,
    on_items_of_one_size,
    own_scales,
)
from nn_inspector.checks.model.own_scale_in_loop import all_alike, measured_in_loop
from nn_inspector.checks.race import Race, race
from nn_inspector.experiments import Anatomy
from nn_inspector.history import Finding, Remedy

_ALIKE = (
    "Leave it out, or scale all items alike: with batch normalization in the network, and with one mean and one spread of all "
    "training data before it."
)
_SCALED = """\
mean, spread = train_inputs.mean(0), train_inputs.std(0)  # of all items, once
x = (x - mean) / (spread + 1e-8)
# in the network torch.nn.BatchNorm1d or BatchNorm2d(channels), which takes its statistics from the batch"""


def each_by_itself(subject: Subject, info: CheckInfo, seen: Anatomy) -> Finding | None:
    """Whether the level or the size of the items is what tells the answer, and a normalization of each takes it away."""
    own = own_scales(seen)
    ways = [left_out(own), of_all(own)] if own else []
    for change in ways:
        tried = race(subject, change)
        if tried is None:
            return None
        if tried.severity == "info":
            continue
        if all(one.first for one in own):
            return _levels_taken(info, own, tried, None)
        levelled = on_items_of_one_size(change, channels=has_channels(seen))
        apart = race(subject, change, without=levelled)
        if apart is not None and apart.severity != "info":
            return _levels_taken(info, own, tried, apart)
    return None


def measured_in_the_loop(subject: Subject, info: CheckInfo) -> Finding | None:
    """Whether the loop takes a level or a size from each item, and a copy learns far more that measures them together."""
    tape = subject.training.tape if subject.training.step is None else None
    places = measured_in_loop(tape)
    tried = race(subject, all_alike(tape, places)) if tape is not None and places else None
    if tape is None or tried is None or tried.severity == "info":
        return None
    message = (
        f"It takes something away: `{tape.operations[places[0]].name}` in your loop is measured for each item by itself, and then "
        f"subtracted or divided by. How large an item is can then no longer tell the answer. {tried.text}"
    )
    remedy = Remedy(_ALIKE, _SCALED, tried.trial)
    return finding(info, tried.severity, message, remedy=remedy, where="loop", basis="experiment")


def _levels_taken(info: CheckInfo, own: Sequence[OwnScale], tried: Race, apart: Race | None) -> Finding:
    """What is said of a copy that got further without.

    Args:
        info: of the check that asks.
        own: what gives each item its own scale.
        tried: a race of that copy.
        apart: of the same copy against one that is given items of one size: it may learn faster for another reason.
    """
    more = f", and so do {len(own) - 1} more" if len(own) > 1 and not own[0].by_hand else ""
    message = f"It takes something away: {own[0].text}{more}. How large an item is can then no longer tell the answer. {tried.text}"
    if apart is not None:
        message += f" Given items of one size, the copy learned {1 - min(1.0, apart.without[-1]):.0%}: it is their size that counts."
    remedy = Remedy(_ALIKE, _SCALED, tried.trial)
    return finding(info, tried.severity, message, remedy=remedy, where=own[0].where, basis="experiment")
