"""output_layer: can the last layer say what is asked of the network?"""

from __future__ import annotations

from nn_inspector.checks.base import Check, CheckInfo, Subject, trial_chart
from nn_inspector.checks.judging.complaint import verdict
from nn_inspector.checks.judging.cosines import cosines_without_temperature
from nn_inspector.checks.judging.outputs import (
    classes_on_one_output,
    entropy_of_one_column,
    relu_of_scores,
    sigmoids_for_one_of_many,
    softmax_of_one,
)
from nn_inspector.checks.judging.reach import unreachable
from nn_inspector.checks.judging.reading import Judged
from nn_inspector.checks.symptoms import OF_THE_LOOP
from nn_inspector.history import Finding

INFO = CheckInfo(
    name="output_layer",
    stage="model",
    kind="active",
    question="Can the last layer say what is asked of the network?",
    why=(
        "What comes last decides what a network can answer at all. A softmax over a single unit is always 1. A sigmoid never "
        "gives more than 1, so it never predicts a price. A ReLU behind the last layer cannot say no. The training runs "
        "without an error, and the loss stays where it is."
    ),
    how=(
        "The operations between the last layer and the loss are read from the first steps of your loop, and compared with the "
        "loss and with the targets: what they can reach, how many outputs there are, and whether one of several answers is "
        "right or each for itself. Cosines that a cross entropy chooses among are tried with a temperature. Where that does not settle it, a copy is trained without the operation. It is an error "
        "if targets can never be reached or the copy learns much more, and a remark if your training does well anyway."
    ),
    remedy=(
        "Numbers: no activation at the end. One of several classes: one output for each and CrossEntropyLoss. Yes or no: one "
        "output and BCEWithLogitsLoss. Both losses want the plain scores of the last layer."
    ),
    sources=(
        "37 Reasons why your Neural Network is not working (Slavv, 2017)",
        "Nikanjam et al., NeuraLint (2021): last activation and loss",
        "PyTorch documentation: CrossEntropyLoss, BCEWithLogitsLoss",
        "Wang et al., NormFace (2017): the least loss of a softmax over cosines",
    ),
    explains=(
        *OF_THE_LOOP, "loss_match", "output_bias", "target_scale", "label_range", "label_balance", "loss_reduction",
        "hidden_activation", "weight_scale", "regularization_share", "training_length", "dataset_size",
    ),
)  # fmt: skip


RULES = (
    softmax_of_one,
    entropy_of_one_column,
    classes_on_one_output,
    unreachable,
    relu_of_scores,
    sigmoids_for_one_of_many,
    cosines_without_temperature,
)
"""In the order in which they are asked; the first complaint counts."""


def look(subject: Subject) -> Finding:
    """Hold the end of the network against loss and targets."""
    return verdict(subject, INFO, RULES, _said)


def _said(seen: Judged) -> str:
    if not seen.path:
        return f"nothing in the way to {seen.name} speaks against it"
    return f"{seen.name} judges what `{seen.last}` gives, and nothing speaks against that"


CHECK = Check(INFO, look, trial_chart)
