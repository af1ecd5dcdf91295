"""vanishing_gradients: does the gradient reach the first layers, and the beginning of sequences?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, row_chart
from nn_inspector.checks.race import race
from nn_inspector.checks.symptoms import NOT_LEARNING
from nn_inspector.checks.train.memory import Reach, keep_longer, reaches
from nn_inspector.checks.train.no_slope import no_slope
from nn_inspector.checks.train.standstill import got_nowhere
from nn_inspector.errors import ExperimentError, InspectorError
from nn_inspector.history import Chart, Evidence, Finding, Remedy, Run, curve

INFO = CheckInfo(
    name="vanishing_gradients",
    stage="train",
    kind="passive",
    question="Does the gradient reach the first layers, and the beginning of sequences?",
    why=(
        "On its way back the gradient is multiplied in every layer, and in a recurrent network at every place of the sequence. "
        "If each factor is a quarter, nothing is left after ten of them: the first layers stand still, and what was read long "
        "ago is never learned."
    ),
    how=(
        "The gradient of the first layer's weights, by number, is compared with that of the last layer's at the measured steps. "
        "It is a warning below a thousandth, if the training did badly, and an error if the gradient of every weight is 0 at most steps. Of recurrent layers the gradient at the first place of "
        "the sequence is taken on a copy. Where it is lost, a copy with weights that keep the past is trained: an error if that "
        "one gets much further."
    ),
    remedy="Use ReLU, a normalization, skip connections; LSTM or GRU, orthogonal recurrent weights, a forget bias of 1.",
    sources=(
        "Hochreiter, Untersuchungen zu dynamischen neuronalen Netzen (1991)",
        "Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks (2010)",
        "Le, Jaitly and Hinton, A Simple Way to Initialize Recurrent Networks of Rectified Linear Units (2015)",
    ),
    explains=(*NOT_LEARNING, "update_ratio", "weight_spread", "learning_rate", "training_length", "weight_scale"),
)

LOST = 1e-3
"""First layer over last: no sound training was below this."""

FORGOTTEN = 1e-3
"""First place of a sequence over the one that counts most."""

_LEAST_STEPS = 5

_RECURRENT = """\
for name, p in model.named_parameters():
    if "weight_hh" in name:
        torch.nn.init.orthogonal_(p)  # of a torch.nn.RNN; or use torch.nn.LSTM or GRU
    if "bias_hh" in name:
        p.data[hidden_size : 2 * hidden_size] = 1.0  # of an LSTM or GRU: keeps the past"""

_DEEP = """\
block = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.LayerNorm(64), torch.nn.ReLU())
x = x + block(x)  # a skip connection lets the gradient through"""


def look(subject: Subject) -> Finding:
    """Compare the gradient by depth and by place."""
    subject.require_steps()
    flat = no_slope(INFO, subject)
    if flat is not None:
        return flat
    forgotten = _forgotten(subject)
    if forgotten is not None and got_nowhere(subject):
        tried = race(subject, keep_longer)
        if tried is not None and tried.severity != "info":
            remedy = Remedy(
                "Start with recurrent weights that keep the past, or use LSTM or GRU.", _RECURRENT, tried.trial
            )
            message = f"No: {_said(forgotten)}. The remedy is weights that keep the past. {tried.text}"
            return finding(
                INFO, tried.severity, message, evidence={"by_place": forgotten.by_place}, remedy=remedy,
                where=forgotten.name, basis="experiment",
            )  # fmt: skip
    sizes = gradient_sizes_by_layer(subject.run, subject.training.model)
    if len(sizes) < 2:
        if forgotten is not None:
            return finding(INFO, "info", f"{_said(forgotten)}.", evidence={"by_place": forgotten.by_place})
        raise InspectorError("The gradients of two layers at least must be measured at a few steps.")
    evidence: Evidence = dict(sizes)
    first, last = next(iter(sizes)), list(sizes)[-1]
    ratio = sizes[first] / sizes[last] if sizes[last] > 0 else 1.0
    said = f"a weight of {first} gets {ratio:.1g} times the gradient of one of {last}"
    if ratio >= LOST:
        return finding(INFO, "ok", f"Yes: {said}.", evidence=evidence)
    if not got_nowhere(subject):
        return finding(
            INFO, "info", f"Hardly: {said}. The training does not seem to suffer from it.", evidence=evidence
        )
    remedy = Remedy("Use ReLU in place of sigmoid or tanh, a normalization, or skip connections.", _DEEP)
    message = f"No: {said}, and hardly anything was learned. The cause may lie elsewhere."
    return finding(INFO, "warning", message, evidence=evidence, remedy=remedy, where=first)


def gradient_sizes_by_layer(run: Run, model: object) -> Mapping[str, float]:
    """Median root mean square of the gradient of each weight matrix, in the order in which the model holds them."""
    found: dict[str, float] = {}
    for name, parameter in getattr(model, "named_parameters")():  # noqa: B009 - of a module
        values = run.series("gradient_norm", name).values
        values = values[np.isfinite(values)]
        if parameter.dim() >= 2 and parameter.requires_grad and len(values) >= _LEAST_STEPS:
            found[name] = float(np.median(values)) / parameter.numel() ** 0.5
    return found


_by_layer = row_chart("gradient", "median")


def chart(result: Finding) -> Chart | None:
    """The size of the gradient, layer by layer or place by place."""
    places = result.evidence.get("by_place")
    if isinstance(places, list):
        return Chart("lines", "place in the sequence", "gradient", {"of the loss": curve(places)})
    return _by_layer(result)


def _forgotten(subject: Subject) -> Reach | None:
    try:
        found = [reach for reach in reaches(subject) if reach.ratio < FORGOTTEN]
    except ExperimentError:
        return None
    return min(found, key=lambda reach: reach.ratio, default=None)


def _said(reach: Reach) -> str:
    return (
        f"the gradient at the first of {len(reach.by_place)} places in {reach.name} is {reach.ratio:.1g} times that at the "
        "place that counts most"
    )


CHECK = Check(INFO, look, chart)
