"""loss_match: does the loss fit what the network gives and what is to be learned?"""

from __future__ import annotations

from nn_inspector.checks.base import Check, CheckInfo, Subject, trial_chart
from nn_inspector.checks.judging.along import along_another_axis
from nn_inspector.checks.judging.complaint import verdict
from nn_inspector.checks.judging.confusions import (
    no_minus,
    one_label_for_all,
    targets_are_no_probabilities,
)
from nn_inspector.checks.judging.expectations import (
    no_log_probabilities,
    no_logarithms_for_divergence,
    rates_for_logarithms,
    raw_scores_as_probabilities,
    squashed_twice,
    wrong_family,
)
from nn_inspector.checks.judging.nominal import kinds_as_numbers
from nn_inspector.checks.judging.outputs import one_of_many_for_several
from nn_inspector.checks.judging.reading import Judged
from nn_inspector.checks.judging.validation import squashed_in_validation
from nn_inspector.checks.symptoms import OF_THE_LOOP
from nn_inspector.history import Finding

INFO = CheckInfo(
    name="loss_match",
    stage="model",
    kind="passive",
    question="Does the loss fit what the network gives and what is to be learned?",
    why=(
        "Each loss takes its prediction for something: plain scores, probabilities, or logarithms of probabilities. "
        "CrossEntropyLoss makes a softmax itself, so a softmax before it is one too many. NLLLoss makes none. A loss that gets "
        "something else runs without an error, and its gradient points nowhere useful."
    ),
    how=(
        "The loss function, and the operations on its prediction, are read from the first steps of your loop. They are "
        "compared with what that loss expects and with the targets. If the structure is suspicious, a copy is trained with the "
        "loss that fits; where class numbers are predicted as amounts, a small classifier is held against them. It is an error if the loss has no least value, mixes up axes or labels, takes one class to be right where several are, "
        "or if the copy learns far more than your training did. If that did well, it is a remark."
    ),
    remedy=(
        "One of several classes: CrossEntropyLoss on plain scores. Yes or no: BCEWithLogitsLoss on plain scores. Numbers: "
        "MSELoss, L1Loss or HuberLoss. No softmax or sigmoid before any of them."
    ),
    sources=(
        "PyTorch documentation: CrossEntropyLoss, NLLLoss, BCEWithLogitsLoss",
        "37 Reasons why your Neural Network is not working (Slavv, 2017): check your loss function",
        "Braiek and Khomh, TheDeepChecker (2022)",
    ),
    explains=(
        *OF_THE_LOOP, "output_bias", "target_scale", "label_range", "label_balance", "loss_reduction", "hidden_activation",
        "weight_scale", "regularization_share", "training_length", "dataset_size", "batch_dependency",
    ),
)  # fmt: skip


RULES = (
    along_another_axis,
    one_of_many_for_several,
    one_label_for_all,
    no_minus,
    targets_are_no_probabilities,
    no_log_probabilities,
    no_logarithms_for_divergence,
    rates_for_logarithms,
    squashed_twice,
    raw_scores_as_probabilities,
    wrong_family,
    kinds_as_numbers,
    squashed_in_validation,
)
"""In the order in which they are asked; the first complaint counts."""


def look(subject: Subject) -> Finding:
    """Hold the loss against the network's output and the targets."""
    return verdict(subject, INFO, RULES, _said)


def _said(seen: Judged) -> str:
    expected = {
        "scores": "plain scores",
        "logits": "plain scores",
        "log probabilities": "logarithms of probabilities",
        "probabilities": "probabilities",
        "logarithm": "probabilities",
        "numbers": "numbers",
    }
    what = expected.get(seen.judge)
    if what is None:
        return f"nothing that speaks against {seen.name} was seen"
    return f"{seen.name} expects {what}, and that is what it gets, as far as it can be seen"


CHECK = Check(INFO, look, trial_chart)
