import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from nn_inspector.checks.init.chance import Chance, chance_level
from nn_inspector.checks.init.initial_loss import rule
from nn_inspector.probes import CallMode
from tests.trainings import CLASSES, FEATURES, Case, blobs, classifier, mlp

G = torch.Generator().manual_seed(0)
LABELS = torch.tensor([0] * 6 + [1] * 3 + [2] * 1)
ENTROPY = -sum(p * math.log(p) for p in (0.6, 0.3, 0.1))
BITS = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
VALUES = torch.tensor([[1.0], [2.0], [6.0]])


def chance_of(function, *arguments, **options):
    calls = []
    with CallMode(calls.append):
        function(*arguments, **options)
    return chance_level(calls[0])


@pytest.mark.parametrize(
    ("function", "prediction", "target", "options", "low", "high"),
    [
        (F.cross_entropy, torch.randn(10, 3, generator=G), LABELS, {}, ENTROPY, math.log(3)),
        (F.nll_loss, torch.randn(10, 3, generator=G).log_softmax(1), LABELS, {}, ENTROPY, math.log(3)),
        (
            F.cross_entropy,
            torch.randn(10, 3, generator=G),
            LABELS,
            {"reduction": "sum"},
            10 * ENTROPY,
            10 * math.log(3),
        ),
        (F.cross_entropy, torch.randn(10, 3, 2, generator=G), LABELS[:, None].expand(10, 2), {}, ENTROPY, math.log(3)),
        (F.cross_entropy, torch.randn(10, 3, generator=G), F.one_hot(LABELS).float(), {}, ENTROPY, math.log(3)),
        (F.binary_cross_entropy_with_logits, torch.randn(4, 2, generator=G), BITS, {}, 0.5623, math.log(2)),
        (F.binary_cross_entropy, torch.rand(4, 2, generator=G), BITS, {}, 0.5623, math.log(2)),
        (F.mse_loss, torch.randn(3, 1, generator=G), VALUES, {}, VALUES.var(correction=0).item(), 41 / 3),
        (F.l1_loss, torch.randn(3, 1, generator=G), VALUES, {}, 2.0, 3.0),
    ],
    ids=[
        "cross entropy",
        "nll",
        "sum",
        "per position",
        "soft targets",
        "logits",
        "probabilities",
        "squares",
        "absolute",
    ],
)
def test_chance_agrees_with_its_formula(function, prediction, target, options, low, high):
    chance = chance_of(function, prediction, target, **options)
    assert chance.low == pytest.approx(low, rel=2e-3)
    assert chance.high == pytest.approx(high, rel=2e-3)


def test_ignored_labels_and_class_weights_are_in_it():
    target = LABELS.clone()
    target[:6] = -100
    chance = chance_of(F.cross_entropy, torch.randn(10, 3, generator=G), target)
    assert chance.low == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), rel=5e-3)
    weighted = chance_of(F.cross_entropy, torch.randn(10, 3, generator=G), LABELS, weight=torch.tensor([1.0, 5.0, 9.0]))
    assert max(weighted.low, weighted.high) >= math.log(3) - 1e-4


def test_chance_is_not_known_for_every_loss():
    assert chance_of(F.kl_div, torch.zeros(2, 3), torch.ones(2, 3) / 3) is None


@pytest.mark.parametrize("function", [F.mse_loss, F.smooth_l1_loss])
def test_a_difference_that_is_asked_to_be_zero_has_no_chance(function):
    assert chance_of(function, torch.randn(4, 1), torch.zeros(4, 1)) is None
    assert chance_of(function, torch.randn(1), torch.zeros(1)) is not None


@pytest.mark.parametrize(
    ("loss", "severity"),
    [
        (2.3, "ok"),
        (2.8, "ok"),
        (2.9, "warning"),
        (math.nan, "warning"),
        (math.inf, "warning"),
        (1.8, "ok"),
        (1.0, "info"),
    ],
)
def test_rule(loss, severity):
    assert rule(loss, Chance(2.1, 2.3, "")) == severity


def test_a_sound_network_passes(untrained):
    finding = untrained(mlp(), nn.CrossEntropyLoss(), blobs()).check("initial_loss")
    assert finding.severity == "ok"
    assert finding.evidence["chance"] == pytest.approx(math.log(CLASSES), rel=1e-3)
    assert "4 classes" in finding.message


def test_inputs_of_the_wrong_scale_are_named_and_the_remedy_is_tried(untrained):
    data = blobs()
    finding = untrained(mlp(), nn.CrossEntropyLoss(), TensorDataset(data.tensors[0] * 200, data.tensors[1])).check(
        "initial_loss"
    )
    assert finding.severity == "warning"
    assert "certain and wrong" in finding.message
    assert "Scale the inputs" in finding.remedy.text
    assert finding.remedy.tried.helped
    assert finding.remedy.tried.treated[0] < 2 < finding.remedy.tried.without[0]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_a_regression_with_usual_weights_passes(untrained, activation, seed):
    torch.manual_seed(seed)
    x = torch.linspace(-3, 3, 400)[:, None]
    model = nn.Sequential(nn.Linear(1, 64), activation(), nn.Linear(64, 1))
    finding = untrained(model, nn.MSELoss(), TensorDataset(x, torch.sin(x))).check("initial_loss")
    assert finding.severity in ("ok", "info"), finding.message


def test_targets_far_away_are_named(untrained):
    x = torch.randn(200, 3, generator=G)
    model = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 1))
    with torch.no_grad():
        model[2].weight.mul_(300)
    finding = untrained(model, nn.MSELoss(), TensorDataset(x, x[:, :1])).check("initial_loss", seconds=0)
    assert finding.severity == "warning"
    assert "far from all targets" in finding.message


def test_a_start_that_does_no_harm_is_no_warning(untrained):
    model = mlp()
    with torch.no_grad():
        model[2].weight.mul_(5)
    finding = untrained(model, nn.CrossEntropyLoss(), blobs()).check("initial_loss", seconds=300)
    assert finding.evidence["first_loss"] > 1.25 * finding.evidence["chance"]
    assert finding.severity == "info"
    assert "makes up for that soon" in finding.message


def test_a_large_last_layer_is_named_and_the_remedy_is_tried(untrained):
    model = mlp()
    with torch.no_grad():
        model[2].weight.mul_(40)
    finding = untrained(model, nn.CrossEntropyLoss(), blobs()).check("initial_loss")
    assert finding.severity == "warning"
    assert "last layer" in finding.remedy.text
    assert finding.remedy.tried.treated[0] < 2 < finding.remedy.tried.without[0]


def test_not_a_number_points_at_the_data(untrained):
    data = blobs()
    data.tensors[0][3, 1] = math.nan
    finding = untrained(mlp(), nn.CrossEntropyLoss(), data).check("initial_loss")
    assert finding.severity == "warning"
    assert "NaN or Inf in the data" in finding.message


def test_after_training_the_first_weights_are_meant(watched):
    finding = watched(classifier(), lambda c: c.run(5)).check("initial_loss")
    assert finding.severity == "ok"


def test_a_network_that_knows_something_already(untrained):
    case = classifier()
    case.run(20)
    finding = untrained(case.model, nn.CrossEntropyLoss(), blobs()).check("initial_loss")
    assert finding.severity == "info"
    assert "knows something already" in finding.message


@pytest.mark.parametrize(
    ("loss_fn", "data"),
    [
        (
            nn.MSELoss(),
            TensorDataset(torch.randn(64, FEATURES, generator=G), 3 * torch.randn(64, CLASSES, generator=G)),
        ),
        (
            nn.BCEWithLogitsLoss(),
            TensorDataset(torch.randn(64, FEATURES, generator=G), (torch.rand(64, CLASSES, generator=G) > 0.5).float()),
        ),
        (
            nn.SmoothL1Loss(),
            TensorDataset(torch.randn(64, FEATURES, generator=G), torch.randn(64, CLASSES, generator=G)),
        ),
        (F.cross_entropy, blobs()),
        (nn.CrossEntropyLoss(label_smoothing=0.1), blobs()),
        (nn.CrossEntropyLoss(reduction="sum"), blobs()),
    ],
    ids=["squares", "logits", "smooth l1", "function", "label smoothing", "sum"],
)
def test_other_losses_of_sound_networks_pass(untrained, loss_fn, data):
    assert untrained(mlp(), loss_fn, data).check("initial_loss").severity == "ok"


@pytest.mark.parametrize(
    ("loss_fn", "reason"),
    [
        (lambda output, target: ((output - F.one_hot(target, CLASSES)) ** 2).mean(), "another one"),
        (lambda output, target: F.cross_entropy(output, target) + F.mse_loss(output, output * 0), "made of several"),
        (lambda output, target: F.cross_entropy(output, target) + 1.0, "something added"),
        (nn.KLDivLoss(), "target|kl_div"),
        (None, "not known how the loss is computed"),
        (nn.CrossEntropyLoss(reduction="none"), r"should be one number, but it has shape \[16\].*loss.mean"),
    ],
    ids=["own formula", "two terms", "a constant", "kl", "none", "not reduced"],
)
def test_where_it_cannot_look_it_says_why(untrained, loss_fn, reason):
    finding = untrained(mlp(), loss_fn, blobs()).check("initial_loss")
    assert finding.severity == "skipped"
    import re

    assert re.search(reason, finding.message)


def test_a_step_function_says_how(watched):
    case = classifier()
    inspector = watched(case, step=lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]))
    assert inspector.check("initial_loss").severity == "ok"


def test_its_evidence_can_be_drawn(untrained):
    from nn_inspector.checks import find_check

    finding = untrained(mlp(), nn.CrossEntropyLoss(), blobs()).check("initial_loss")
    chart = find_check("initial_loss").chart(finding)
    assert [text for _, text in chart.labels] == ["first loss", "chance"]


def test_a_training_that_made_up_for_it_is_not_warned(watched):
    torch.manual_seed(0)
    inputs = torch.randn(256, FEATURES)
    targets = 0.02 * (inputs[:, :1] + inputs[:, 1:2] * inputs[:, 2:3])
    model = nn.Sequential(nn.Linear(FEATURES, 32), nn.Tanh(), nn.Linear(32, 1))
    loader = torch.utils.data.DataLoader(TensorDataset(inputs, targets), batch_size=32, shuffle=True)
    case = Case(model, torch.optim.Adam(model.parameters(), lr=1e-2), nn.MSELoss(), loader)
    before = watched(case).check("initial_loss")
    after = watched(case, lambda case: case.run(40)).check("initial_loss")
    assert (before.severity, after.severity) == ("warning", "info")
    assert "made up for that" in after.message


def test_tokens_are_not_told_to_be_scaled(untrained):
    torch.manual_seed(0)
    tokens = torch.randint(0, 50, (96, 6))
    model = nn.Sequential(nn.Embedding(50, 8), nn.Flatten(), nn.Linear(48, CLASSES))
    with torch.no_grad():
        model[2].weight.mul_(30)
    finding = untrained(model, nn.CrossEntropyLoss(), TensorDataset(tokens, blobs().tensors[1])).check("initial_loss")
    assert finding.raised, finding.message
    assert "last layer" in finding.remedy.text
    assert "nan" not in finding.remedy.text
