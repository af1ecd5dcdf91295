"""input_scale: do the inputs have a scale that the network can work with?"""

from __future__ import annotations

import contextlib

import torch

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.data.coarse_columns import Coarse, coarse_column
from nn_inspector.checks.data.cut_to_whole import cut_to_whole
from nn_inspector.checks.data.inputs_seen import InputsSeen, inputs_seen, standardize
from nn_inspector.checks.data.standing_columns import Standing, standing_columns
from nn_inspector.checks.data.wrapped_around import Wrapped, wrapped_around
from nn_inspector.checks.race import BADLY, WORTH, known_left, left_now, left_of_validation, race
from nn_inspector.checks.symptoms import ALL_SYMPTOMS
from nn_inspector.checks.train.units_now import FLAT, units_now
from nn_inspector.errors import ExperimentError, InspectorError
from nn_inspector.history import Evidence, Finding, Remedy

INFO = CheckInfo(
    name="input_scale",
    stage="data",
    kind="active",
    question="Do the inputs have a scale that the network can work with?",
    why=(
        "Layers are initialized for inputs around 0 with a standard deviation of about 1. With pixels from 0 to 255, or "
        "one column in millions beside another in tenths, the first steps are far too large for some weights and far "
        "too small for others. Inputs that were scaled twice are almost constant, and the network hardly sees them."
    ),
    how=(
        "It looks at what a copy of your network really gets, after all that the data set and the loop did to it: mean "
        "and standard deviation of each column or channel. If they are far from 0 and 1, a copy is trained with "
        "standardized inputs. It is an error if that copy gets much further in a few steps than your whole training "
        "did. It is a warning if they leave most sigmoids or tanhs of the first layer at an end of their range for every item, and else a "
        "remark. If your training did badly, it is a warning if all columns hold small whole numbers, spread as "
        "scaled numbers are that were cut. So it is if items have wrapped around: they rise with the stored numbers that they were made "
        "of, and fall by all that an integer of one or two bytes can hold; and if a column holds numbers too large for its format to tell apart, or stands still "
        "while what is not explained of the targets changes smoothly from item to item."
    ),
    remedy="Bring each column or channel to mean 0 and standard deviation 1, with numbers from the training data.",
    sources=(
        "LeCun and others, Efficient BackProp (1998): normalizing the inputs",
        "CS231n, Convolutional Neural Networks for Visual Recognition: data preprocessing",
    ),
    explains=(
        *ALL_SYMPTOMS, "initial_loss", "learning_rate", "weight_scale", "hidden_activation", "output_bias",
        "target_scale", "optimizer_settings", "label_alignment", "batch_size", "capacity",
    ),
)  # fmt: skip

USUAL_SPREAD = (0.1, 4.0)
"""Standard deviations of the inputs, all columns together, that need no second look."""

OFF_CENTRE = 3.0
"""So many of its standard deviations a column's mean may be away from 0."""

UNEVEN = 30.0
"""The widest column of a table may be so many times as wide as the narrowest."""

_MOSTLY = 0.5
_FEW_COLUMNS = 32
_LISTED = 8

_SUBTRACT_FIRST = (
    "subtract the first time stamp (or the mean) before you convert to float32, and keep such numbers in float64 or int64 until "
    "then: float32 has seven digits, and time stamps around 1.7e9 become multiples of 128 in it."
)
_WITHOUT_WRAPPING = """\
image = image.astype(np.float32) * gain + shift  # not in uint8
image = image.clip(0, 255).astype(np.uint8)"""
_FROM_FIRST = """\
seconds = torch.as_tensor(stamps - stamps.min(), dtype=torch.float32)  # stamps: float64 or int64
# not torch.tensor(stamps, dtype=torch.float32) - start"""


def look(subject: Subject) -> Finding:
    """Look at the inputs, and train a copy with standardized ones if they are unusual."""
    wrapped = _wrapped(subject)
    if wrapped is not None:
        return wrapped
    found = inputs_seen(subject)
    rounded = _rounded(subject, found)
    if rounded is not None:
        return rounded
    finite = [one for one in found if torch.isfinite(one.values).all()] or found[:1]
    seen = next((one for one in finite if not one.normalized_first and rule(one) is not None), finite[0])
    mean, spread = float(seen.values.mean()), float(seen.values.std(correction=0))
    evidence = {"mean": mean, "spread": spread, "low": float(seen.values.min()), "high": float(seen.values.max())}
    of = f"{seen.name}: " if seen.name else ""
    measured = (
        f"{of}mean {mean:.3g}, standard deviation {spread:.3g}, from {evidence['low']:.3g} to {evidence['high']:.3g}"
    )
    unusual = rule(seen)
    if not torch.isfinite(seen.values).all():
        return finding(INFO, "info", f"The inputs hold NaN or Inf ({measured}); their scale comes after that.")
    if unusual is None:
        cut = seen.dims == 2 and cut_to_whole(seen.values) and (known_left(subject) or 0.0) > BADLY
        return _cut(seen, evidence) if cut else finding(INFO, "ok", f"Yes: {measured}.", evidence=evidence)
    if seen.where:
        unusual, measured = f"{unusual} once forward() has scaled them", f"{measured} in {seen.where}"
    if seen.normalized_first:
        message = f"{unusual} ({measured}), but the first layer normalizes them."
        return finding(INFO, "ok", message, evidence=evidence)
    return _tried(subject, seen, f"{unusual} ({measured})", evidence)


def _tried(subject: Subject, seen: InputsSeen, unusual: str, evidence: Evidence) -> Finding:
    """What unusual inputs do to the training: a copy with standardized ones gets further, or units of the first layer are lost."""
    tried = race(subject, lambda copied: standardize(seen, copied))
    remedy = Remedy(
        "Scale them once, either in the data set or in forward()."
        if seen.where
        else "Standardize the inputs with the mean and standard deviation of the training data, and use the same two numbers "
        "for validation.",
        _code(seen),
        tried.trial if tried is not None else None,
    )
    where = "model.forward" if seen.where else "train_loader"
    told = f"No: {unusual[0].lower()}{unusual[1:]}."
    if tried is not None and tried.severity != "info":
        message = f"{told} {tried.text}"
        return finding(INFO, tried.severity, message, evidence=evidence, remedy=remedy, where=where, basis="experiment")
    lost = _at_their_ends(subject)
    if lost is not None:
        return finding(INFO, "warning", f"{told} {lost}", evidence=evidence, remedy=remedy, where=where)
    message = f"{unusual}. That is unusual, but no harm was seen."
    return finding(INFO, "info", message, evidence=evidence, remedy=remedy, where=where)


def _at_their_ends(subject: Subject) -> str | None:
    """What is lost in the first layer of units, if it is one of sigmoids or tanhs and most of these are the same for every item."""
    with contextlib.suppress(InspectorError):
        first = next(iter(units_now(subject)), None)
        if first is not None and first.function in FLAT and first.idle >= _MOSTLY:
            return (
                f"{first.idle:.0%} of the {first.units} units of {first.where}, the first after them, are at an end of their range "
                "for every item, and so tell nothing of it."
            )
    return None


def _rounded(subject: Subject, found: list[InputsSeen]) -> Finding | None:
    """Numbers that their format has rounded, in the inputs or in what these were made of, where the training did badly."""
    coarse = next((one for one in map(coarse_column, found) if one is not None), None)
    tables = all(one.dims <= 2 for one in found)
    if not (coarse or tables) or (known_left(subject) or 0.0) <= BADLY:
        return None
    if coarse is not None:
        return _coarse(coarse)
    standing = None
    with contextlib.suppress(ExperimentError):
        standing = standing_columns(subject) if left_now(subject)[0] == "numbers" else None
    return _standing(standing) if standing is not None else None


def _wrapped(subject: Subject) -> Finding | None:
    """Items whose numbers have wrapped around on their way out of the data set."""
    found = None
    with contextlib.suppress(ExperimentError):
        found = wrapped_around(subject) if subject.seconds > 0 else None
    if found is None:
        return None
    left = max(known_left(subject) or 0.0, left_of_validation(subject) or 0.0)
    return finding(
        INFO,
        "warning" if left > WORTH else "info",
        _wrapped_text(found),
        evidence={"wrapped": found.share, "period": float(found.period), "items": float(found.items)},
        remedy=Remedy(
            "Compute in a format that holds the result, and clip before you go back to the small one.",
            _WITHOUT_WRAPPING,
        ),
        where=found.place,
        basis="structure",
    )


def _wrapped_text(found: Wrapped) -> str:
    whole = (
        f"Its format has {found.period:,} numbers only: what becomes larger than the largest begins again at the least"
    )
    if found.column is not None:
        return (
            f"No: column {found.column} of your items has wrapped around for {found.share:.0%} of them, if it is compared with "
            f"{found.place}. {whole}."
        )
    return (
        f"No: {found.items} of {found.looked} items have wrapped around in {found.share:.0%} of their numbers, if they are compared "
        f"with {found.place}. {whole}, as bright pixels that become dark."
    )


def _coarse(seen: Coarse) -> Finding:
    return finding(
        INFO,
        "warning",
        f"No: column {seen.column} holds numbers around {seen.size:.3g} in {str(seen.dtype).removeprefix('torch.')}, which are "
        f"{seen.apart:,.0f} apart there. What lies closer together is lost: {seen.items} items have {seen.numbers} different "
        "numbers.",
        evidence={"column": float(seen.column), "apart": seen.apart, "numbers": float(seen.numbers)},
        remedy=Remedy(f"S{_SUBTRACT_FIRST[1:]}", _FROM_FIRST),
        where="train_loader",
    )


def _standing(seen: Standing) -> Finding:
    many = len(seen.columns) > 1
    first = ", ".join(str(one) for one in seen.columns[:_LISTED]) + (", ..." if len(seen.columns) > _LISTED else "")
    which = f"columns {first} keep their numbers" if many else f"column {first} keeps its number"
    return finding(
        INFO,
        "warning",
        f"Perhaps not: in the order of your data {which} for {seen.items:.0f} items in a row and then "
        f"jump{'' if many else 's'}. What your network does not explain of the targets changes from item to item meanwhile, and "
        f"smoothly ({seen.within:.0%} of it lies within these rows). So something is not told, such as a time that was rounded.",
        evidence={"items_in_a_row": seen.items, "within": seen.within, "roughness": seen.smooth},
        remedy=Remedy(
            f"Give the network what changes from item to item. If a column is made of time stamps, {_SUBTRACT_FIRST}",
            _FROM_FIRST,
        ),
        where="train_loader",
    )


def _cut(seen: InputsSeen, evidence: Evidence) -> Finding:
    return finding(
        INFO,
        "warning",
        f"Perhaps not: all {seen.values.shape[1]} columns hold small whole numbers only, from {evidence['low']:.0f} to "
        f"{evidence['high']:.0f}, as scaled numbers do that were cut to whole ones. Most of what they told is lost then.",
        evidence=evidence,
        remedy=Remedy(
            "Scale into an array of floating-point numbers: what is written into one of integers is cut.",
            "scaled = (table - table.mean(axis=0)) / table.std(axis=0)  # a new array\n"
            "x = torch.as_tensor(scaled, dtype=torch.float32)",
        ),
        where="train_loader",
    )


def rule(seen: InputsSeen) -> str | None:
    """What is unusual about inputs, in a few words; None if nothing is.

    Words and colours counted as 0 and 1, and images from 0 to 1, are usual.
    """
    low, high, spread = float(seen.values.min()), float(seen.values.max()), float(seen.values.std(correction=0))
    if spread > USUAL_SPREAD[1]:
        return "The inputs are large"
    varying = seen.spread[seen.spread > 1e-6 * (1e-30 + seen.values.abs().amax(0))]
    if spread < USUAL_SPREAD[0] and not (seen.whole and high <= 1 and low >= 0):
        return "The inputs are almost constant" if abs(float(seen.values.mean())) > spread else "The inputs are small"
    if len(varying) == 0 or seen.whole:
        return None
    table = seen.dims == 2 and len(varying) <= _FEW_COLUMNS
    if table and float(varying.max()) > UNEVEN * float(varying.min()):
        return "Some columns of the inputs are much wider than others"
    if float((seen.mean.abs() / seen.spread.clamp(min=1e-12)).median()) > OFF_CENTRE:
        return "The inputs are far from 0"
    return None


def _code(seen: InputsSeen) -> str:
    others = [axis for axis in range(seen.dims) if axis != seen.axis]
    over = f"dim={tuple(others) if len(others) > 1 else others[0]}, keepdim=True" if seen.axis else ""
    return (
        "x = torch.cat([batch[0] for batch in train_loader]).float()\n"
        f"mean, std = x.mean({over}), x.std({over}) + 1e-8\n"
        "x_scaled = (x - mean) / std  # in the data set, or at the start of model.forward()"
    )


CHECK = Check(INFO, look, trial_chart)
