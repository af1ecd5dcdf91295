import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.checks import find_check
from nn_inspector.panels.chart_image import png
from tests.checks.test_length_and_batches import case
from tests.trainings import Case, classifier


def run(epochs):
    return lambda c: c.run(epochs)


def test_usual_steps_pass(watched):
    inspector = watched(classifier(), run(5), every=1)
    finding = inspector.check("update_ratio")
    assert finding.severity == "ok", finding.message
    assert 1e-4 < finding.evidence["ratio 0.weight"] < 0.1


@pytest.mark.parametrize(
    ("lr", "side", "code"), [(1e-5, "below 0.0001", "*= 10"), (300.0, "above 0.1", "/= 10")], ids=["small", "large"]
)
def test_steps_of_an_unusual_size_in_a_training_that_fails(watched, lr, side, code):
    finding = watched(case(lr=lr), run(5), every=1).check("update_ratio")
    assert finding.severity == "warning", finding.message
    assert side in finding.message
    assert "near chance" in finding.message
    assert code in finding.remedy.code
    assert finding.where == "0.weight"


def test_a_training_that_does_well_is_told_at_most(watched):
    inspector = watched(classifier(lr=2.0), run(20), every=1)
    assert not inspector.check("update_ratio").raised


def test_too_few_measured_steps_say_nothing(watched):
    finding = watched(classifier(), every=1).check("update_ratio")
    assert finding.severity == "skipped"
    assert "too few steps" in finding.message


def test_the_ratios_can_be_drawn(watched):
    finding = watched(classifier(), run(5), every=1).check("update_ratio")
    chart = find_check("update_ratio").chart(finding)
    assert [label for _, label in chart.labels] == ["0.weight", "2.weight"]
    assert png([("", chart)])


def test_the_first_steps_of_weights_that_began_with_zeros_do_not_count(watched):
    model = nn.Linear(15, 1)
    nn.init.zeros_(model.weight)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(1000, 15, generator=generator)
    target = inputs[:, :1] / 3 + torch.randn(
        1000, 1, generator=generator
    )  # most of it is noise, so that it stays near chance
    made = Case(
        model,
        torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-3),
        nn.MSELoss(),
        DataLoader(TensorDataset(inputs, target), batch_size=100, shuffle=True),
    )
    finding = watched(made, run(30)).check("update_ratio")
    assert not finding.raised, finding.message
