"""capacity: is the network large enough for what it is to learn?"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.baselines import Baselines, baselines
from nn_inspector.checks.model.coarse_front import coarse_front
from nn_inspector.checks.model.factors import Factors, factors, more_columns
from nn_inspector.checks.model.sight import Sight, see_further, sight_of
from nn_inspector.checks.model.widening import HiddenLayer, hidden_layers, recurrent_layers, widen
from nn_inspector.checks.model.without_bias import layers_without_bias, with_biases
from nn_inspector.checks.race import BADLY, FAILED, Race, known_left, left_now, race
from nn_inspector.checks.symptoms import NOT_LEARNING
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Anatomy
from nn_inspector.experiments.flow import flow_of
from nn_inspector.history import Evidence, Finding, Remedy

INFO = CheckInfo(
    name="capacity",
    stage="model",
    kind="active",
    question="Is the network large enough for what it is to learn?",
    why=(
        "Everything that the network knows of an item goes through each of its layers. A layer of one or two ReLU units lets "
        "next to nothing through, and dies easily. A network without any hidden layer can only draw straight lines. Get a "
        "network first that can learn the training data by heart, and make it smaller or regularize it afterwards."
    ),
    how=(
        "It looks for hidden layers, recurrent ones too, of four units or fewer, and for embeddings of four columns or fewer that "
        "are multiplied with each other. It trains a copy in which they have 32. A network with one "
        "layer only is compared with one that has a hidden layer, on the same data. Where a stack of convolutions sees a part of "
        "the input only, a copy is trained in which each looks twice as far as the one before. Where no layer has a bias, a copy has "
        "one in each. Where the input is made four times smaller before the first weights, a simple model is given what is left. It is raised only if the larger "
        "one, or a simple model of the whole input, gets much further, and yours has learned little."
    ),
    remedy="Make the narrow layers wider, add a hidden layer, or let convolutions see further, until the training data can be learned by heart.",
    sources=(
        "Karpathy, A Recipe for Training Neural Networks (2019): get a model large enough to overfit",
        "Goodfellow, Bengio and Courville, Deep Learning (2016), 5.2: capacity",
    ),
    explains=(
        *NOT_LEARNING, "dead_units", "vanishing_gradients", "activation_scale", "update_ratio",
        "label_alignment", "output_bias",
    ),
)  # fmt: skip

NARROW = 4
"""Layers of more units than this are not suspected: small networks for small tables have eight."""

WIDE = 32

MOST_NUMBERS = 4_000_000
"""Tables that would have more are too large to be tried with more columns."""

FAR = 0.6
"""A network with a hidden layer must go so much of the way to perfect answers to show what is missing without one."""

_STEPS = 720

_WIDER = """\
model = torch.nn.Sequential(
    torch.nn.Linear(inputs, 32), torch.nn.ReLU(),
    torch.nn.Linear(32, 32), torch.nn.ReLU(),
    torch.nn.Linear(32, outputs),
)"""


_LATER = """\
model = torch.nn.Sequential(
    torch.nn.Conv2d(channels, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
    torch.nn.Conv2d(16, 32, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
    torch.nn.Flatten(), torch.nn.LazyLinear(classes),
)"""


def look(subject: Subject) -> Finding:
    """Look at the width of the hidden layers, and try wider ones where they are narrow."""
    seen = subject.anatomy("initial", training=False)
    narrow = [layer for layer in (*hidden_layers(seen), *recurrent_layers(seen)) if layer.width <= NARROW]
    if narrow:
        return _narrow(subject, seen, narrow)
    tables = factors(seen)
    if tables is not None and tables.columns <= NARROW:
        return _few_factors(subject, tables)
    lacking = _without_bias(subject, seen) or _coarse(subject)
    if lacking is not None:
        return lacking
    if _one_layer(seen):
        return _alone(subject)
    sight = sight_of(seen)
    if sight is not None:
        return _short_sighted(subject, sight)
    return finding(INFO, "ok", "It looks so: no hidden layer is very narrow.")


def _narrow(subject: Subject, seen: Anatomy, narrow: list[HiddenLayer]) -> Finding:
    first = min(narrow, key=lambda layer: layer.width)
    units = f"{first.width} unit{'s' if first.width > 1 else ''}"
    more = f", and {len(narrow) - 1} more have {NARROW} or fewer" if len(narrow) > 1 else ""
    tried = race(subject, lambda copied: widen(copied, narrow, WIDE), most=_STEPS)
    remedy = Remedy(f"Make the narrow layers wider: {WIDE} units are a start.", _code(seen.model, first))
    evidence: Evidence = {layer.name: float(layer.width) for layer in narrow}
    return _judged(
        f"the layer {first.name} has only {units}{more}", tried, f"{WIDE} units", evidence, remedy, first.name
    )


def _few_factors(subject: Subject, tables: Factors) -> Finding:
    columns = f"{tables.columns} column{'s' if tables.columns > 1 else ''}"
    said = f"the embeddings that are multiplied with each other ({', '.join(tables.names)}) have only {columns}"
    small = tables.rows * WIDE <= MOST_NUMBERS
    tried = race(subject, lambda copied: more_columns(copied, tables.names, WIDE), most=_STEPS) if small else None
    remedy = Remedy(
        f"Give them more columns: {WIDE} are a start.",
        f"torch.nn.Embedding(items, {WIDE})  # and as many for what it is multiplied with",
    )
    evidence: Evidence = {name: float(tables.columns) for name in tables.names}
    return _judged(said, tried, f"{WIDE} columns", evidence, remedy, tables.names[0])


def _judged(said: str, tried: Race | None, wider: str, evidence: Evidence, remedy: Remedy, where: str) -> Finding:
    """Something is narrow: whether that does harm is what a copy in which it is wider says."""
    if tried is not None:
        remedy = replace(remedy, tried=tried.trial)
    if tried is None or tried.severity == "info":
        message = f"{said[0].upper()}{said[1:]}. But no harm was seen, as far as it could be tried."
        return finding(INFO, "info", message, evidence=evidence, remedy=remedy, where=where)
    message = f"No: {said}. The remedy is {wider}. {tried.text}"
    return finding(INFO, tried.severity, message, evidence=evidence, remedy=remedy, where=where, basis="experiment")


def _without_bias(subject: Subject, seen: Anatomy) -> Finding | None:
    """A network that cannot answer anything but nothing where its input is nothing, if the task asks for more."""
    layers = layers_without_bias(seen.model)
    tried = with_biases(subject, layers, most=_STEPS) if layers else None
    if tried is None:
        return None
    return finding(
        INFO,
        tried.severity,
        f"No: none of its {len(layers)} layers has a bias (bias=False), so that the answers can only grow in proportion to the input. "
        f"The remedy is a bias in each. {tried.text}",
        evidence={"layers": float(len(layers))},
        remedy=Remedy("Leave bias=False out.", "torch.nn.Linear(inputs, units)  # has a bias", tried.trial),
        where=layers[0] or "model",
        basis="experiment",
    )


def _short_sighted(subject: Subject, sight: Sight) -> Finding:
    """Convolutions that see a part of what there is, beside a copy in which they see more of it."""
    tried = race(subject, lambda copied: see_further(copied, sight.layers, sight.size), most=_STEPS)
    evidence: Evidence = {"field": float(sight.field), "size": float(sight.size)}
    seen = f"its convolutions see {sight.field} of {sight.size} places at once"
    if tried is None or tried.severity == "info":
        return finding(INFO, "ok", f"It looks so: {seen}, and no hidden layer is very narrow.", evidence=evidence)
    remedy = Remedy(
        "Let each convolution look twice as far as the one before (dilation), or halve the size between them (stride, pooling).",
        "layers = [torch.nn.Conv1d(units, units, 3, dilation=2**i, padding=2**i) for i in range(depth)]",
        tried.trial,
    )
    return finding(
        INFO,
        tried.severity,
        f"No: {seen}, and what has to be seen together lies further apart. The remedy is a dilation that doubles with each layer. {tried.text}",
        evidence=evidence,
        remedy=remedy,
        where=sight.layers[-1],
        basis="experiment",
    )


def _coarse(subject: Subject) -> Finding | None:
    """A network whose first weights are given too little of the input."""
    found = coarse_front(subject)
    if found is None:
        return None
    whole, rest = found.whole.best, found.rest.best
    measure = "right answers" if found.whole.seen.answers else "of the spread explained"
    message = (
        f"No: before the first layer with weights ({found.layer}), {found.given:,} numbers of an item become {found.left:,}. "
        f"A simple model that is given all of them has {whole.score:.0%} {measure}, and one that is given what is left {rest.score:.0%}."
    )
    left = known_left(subject)
    return finding(
        INFO,
        "error" if left is not None and left > FAILED else "warning",
        message,
        evidence={"given": float(found.given), "left": float(found.left), "whole": whole.score, "rest": rest.score},
        remedy=Remedy(
            "Let layers with weights come first, and make the input smaller behind them, step by step.", _LATER
        ),
        where=found.layer,
        basis="experiment",
    )


def _code(model: nn.Module, layer: HiddenLayer) -> str:
    """How a wider layer of this kind is written."""
    module = model.get_submodule(layer.name)
    if not isinstance(module, nn.RNNBase):
        return _WIDER
    options = f"num_layers={module.num_layers}, batch_first={module.batch_first}, bidirectional={module.bidirectional}"
    return f"torch.nn.{type(module).__name__}({module.input_size}, {WIDE}, {options})  # and as many inputs in the layer behind it"


def _alone(subject: Subject) -> Finding:
    """A network of one layer beside one that has a hidden layer."""
    try:
        known = baselines(subject)
        _, left = left_now(subject)
    except ExperimentError:
        return finding(
            INFO, "ok", "The network has one layer only. How far a hidden layer would go could not be tried."
        )
    scores = {one.name: one.score for one in (known.constant, *known.simple, known.network)}
    message = f"The network has one layer only. {_said(known)}"
    if not (left is not None and left > BADLY and too_simple(known)):
        return finding(INFO, "ok", message, evidence=scores)
    remedy = Remedy("Add a hidden layer with a ReLU behind it.", _WIDER)
    return finding(INFO, "warning", f"No. {message}", evidence=scores, remedy=remedy, basis="experiment")


def too_simple(known: Baselines) -> bool:
    """Whether one hidden layer learns most of the task, and neither the network nor a linear model half as much."""
    way = {one.name: _way(known, one.score) for one in (*known.simple, known.network)}
    if "hidden" not in way or way["hidden"] < FAR:
        return False
    return max(way.get("linear", 0.0), way["network"]) < way["hidden"] / 2


def _way(known: Baselines, score: float) -> float:
    return (score - known.constant.score) / max(1 - known.constant.score, 1e-6)


def _said(known: Baselines) -> str:
    score = {one.name: one.score for one in (*known.simple, known.network)}
    measure = "a share of right answers of" if known.seen.answers else "an R² of"
    beside = f", {score['hidden']:.2g} for one with a hidden layer" if "hidden" in score else ""
    return f"On the training data: {measure} {score['network']:.2g} for yours{beside}."


def _one_layer(seen: Anatomy) -> bool:
    flow = flow_of(seen)
    straight = ("layer", "move", "affine", "dropout", "norm", "softmax", "bounded")
    return len(flow.of("layer")) == 1 and all(node.kind in straight for node in flow)


CHECK = Check(INFO, look, trial_chart)
