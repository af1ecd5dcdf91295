import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nn_inspector.checks.answers import Answers, answers, is_one_hot, of_call, of_output
from nn_inspector.experiments import isolated
from nn_inspector.probes import CallMode
from nn_inspector.training import Training

LABELS = torch.tensor([0, 0, 1, 2])
SURE = F.one_hot(LABELS, 3).float()
BITS = torch.tensor([[1.0], [1.0], [0.0], [0.0]])
VALUES = torch.tensor([[1.0], [2.0], [3.0], [6.0]])


def call_of(function, *arguments, **options):
    calls = []
    with CallMode(calls.append):
        function(*arguments, **options)
    return calls[0]


@pytest.mark.parametrize(
    ("function", "given", "right", "options", "kind", "unlearned"),
    [
        (F.cross_entropy, SURE, LABELS, {}, "classes", 0.0),
        (F.cross_entropy, torch.eye(3)[[0, 0, 0, 0]], LABELS, {}, "classes", 1.0),
        (F.cross_entropy, torch.eye(3)[[1, 1, 2, 0]], LABELS, {}, "classes", 2.0),
        (F.cross_entropy, SURE, SURE, {}, "classes", 0.0),
        (F.cross_entropy, SURE, LABELS.where(LABELS != 2, -100), {}, "classes", 0.0),
        (F.cross_entropy, SURE.T[None], LABELS[None], {}, "classes", 0.0),
        (F.nll_loss, SURE.log_softmax(1), LABELS, {}, "classes", 0.0),
        (F.nll_loss, SURE * math.nan, LABELS, {}, "classes", 2.0),
        (F.binary_cross_entropy_with_logits, BITS * 5 + 3, BITS, {}, "yes or no", 0.0),
        (F.binary_cross_entropy, BITS * 0 + 0.4, BITS, {}, "yes or no", 1.0),
        (F.binary_cross_entropy, 0.9 - BITS * 0.5, BITS, {}, "yes or no", 2.0),
        (F.mse_loss, VALUES, VALUES, {}, "numbers", 0.0),
        (F.mse_loss, VALUES * 0 + 3, VALUES, {}, "numbers", 1.0),
        (F.mse_loss, VALUES * math.inf, VALUES, {}, "numbers", math.inf),
        (F.l1_loss, VALUES[:, 0], VALUES, {}, "numbers", 0.0),
        (F.mse_loss, SURE * 0.4, SURE, {}, "classes", 0.0),
        (F.soft_margin_loss, BITS * 2 - 1, BITS * 2 - 1, {}, "yes or no", 0.0),
    ],
)
def test_what_is_still_to_learn(function, given, right, options, kind, unlearned):
    with pytest.warns() if given.shape != right.shape and function is F.l1_loss else torch.no_grad():
        found = of_call(call_of(function, given, right, **options))
    assert found is not None
    assert found.kind == kind
    assert found.unlearned == pytest.approx(unlearned)


@pytest.mark.parametrize(
    "call",
    [
        call_of(F.kl_div, torch.zeros(2, 3), torch.ones(2, 3) / 3),
        call_of(F.cosine_embedding_loss, torch.ones(2, 3), torch.ones(2, 3), torch.ones(2)),
        call_of(F.cross_entropy, torch.zeros(3), torch.tensor(1)),
    ],
    ids=lambda call: call.name,
)
def test_some_losses_do_not_tell_what_is_right(call):
    assert of_call(call) is None


@pytest.mark.parametrize(
    ("given", "right"),
    [
        (torch.ones(4, dtype=torch.long), torch.ones(4, dtype=torch.long)),
        (torch.ones(0, dtype=torch.long), torch.ones(0, dtype=torch.long)),
    ],
)
def test_nothing_can_be_learned_from_one_answer(given, right):
    assert Answers("classes", given, right).unlearned is None
    assert Answers("yes or no", given[:, None].float(), right[:, None].float()).unlearned is None
    assert Answers("numbers", given[:, None].float(), right[:, None].float()).unlearned is None


@pytest.mark.parametrize(
    ("output", "batch", "kind"),
    [
        (torch.zeros(4, 3), (torch.zeros(4, 2), LABELS), "classes"),
        (torch.zeros(4, 3), {"x": torch.zeros(4, 2), "label": LABELS}, "classes"),
        (torch.zeros(4, 1), (torch.zeros(4, 2), VALUES[:, 0]), "numbers"),
        (torch.zeros(4), (torch.zeros(4, 2), BITS), "yes or no"),
        (torch.zeros(4, 2), (torch.zeros(4, 2), LABELS), None),
        (torch.zeros(4, 3), (torch.zeros(4, 2),), None),
        (torch.zeros(4, 3), torch.zeros(4, 2), None),
        (torch.zeros(4, 3, dtype=torch.long), (torch.zeros(4, 2), LABELS), None),
        (None, (torch.zeros(4, 2), LABELS), None),
    ],
)
def test_a_loss_by_hand_leaves_the_output_and_the_labels_of_the_batch(output, batch, kind):
    found = of_output(output, batch)
    assert (found and found.kind) == kind


@pytest.mark.parametrize(
    ("batch", "inputs"),
    [
        ((torch.zeros(4, 2), VALUES, torch.ones(4, 1)), ()),
        ((torch.zeros(4, 2), VALUES, torch.tensor([True, False, True, True])), ()),
        ((torch.zeros(4, 2), torch.zeros(4, 3), torch.ones(4, 5)), ()),
        ((LABELS, LABELS.flip(0)), (LABELS, LABELS.flip(0))),
    ],
    ids=["weights", "mask", "nothing fits", "inputs only"],
)
def test_of_several_parts_that_fit_it_is_not_known_which_is_right(batch, inputs):
    assert of_output(torch.zeros(4, 1), batch, inputs) is None


def test_what_the_model_was_given_is_no_label():
    users, works = torch.tensor([0, 1, 2, 3]), torch.tensor([3, 2, 1, 0])
    found = of_output(VALUES[:, 0], (users, works, VALUES[:, 0]), (users, works.clone()))
    assert found is not None
    assert found.unlearned == 0


def test_a_copy_is_asked_in_evaluation_mode():
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.9))
    training = Training(model, loss_fn=lambda output, target: -output.log_softmax(1)[range(len(target)), target].mean())
    with isolated(training) as copied:
        found = [answers(copied, (torch.ones(4, 2), LABELS)) for _ in range(2)]
        assert copied.model.training
    assert torch.equal(found[0].given, found[1].given)
    assert found[0].kind == "classes"


def test_batches_are_put_together():
    parts = [Answers("numbers", VALUES, VALUES), Answers("numbers", VALUES * 0, VALUES)]
    assert Answers.together(parts).given.shape == (8, 1)
    assert Answers.together([parts[0], Answers("classes", LABELS, LABELS)]).given.shape == (4, 1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [(torch.eye(2), True), (torch.ones(2, 1), False), (torch.rand(3, 2), False), (LABELS, False)],
)
def test_one_hot_rows(values, expected):
    assert is_one_hot(values) is expected
