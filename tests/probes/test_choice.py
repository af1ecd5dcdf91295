import inspect

import pytest
import torch
from torch import nn

import nn_inspector as nni
from nn_inspector.probes import PRESETS, PROBES, QUANTITIES, choose_layers, choose_probes
from tests.trainings import classifier


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 8))
        self.attention = nn.MultiheadAttention(8, 2)
        self.head = nn.Linear(8, 4)


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        (None, ["encoder.0", "encoder.1", "encoder.3", "attention", "head"]),
        ("head", ["head"]),
        ("encoder.*", ["encoder.0", "encoder.1", "encoder.2", "encoder.3"]),
        (nn.Linear, ["encoder.0", "encoder.3", "head"]),
        (["attention", nn.ReLU], ["encoder.1", "attention"]),
        ((nn.Dropout,), ["encoder.2"]),
        (lambda name, module: name.startswith("h"), ["head"]),
        ("model", ["model"]),
    ],
    ids=lambda value: "function" if inspect.isfunction(value) else str(value),
)
def test_layers_are_chosen_by_name_type_or_function(layers, names):
    assert list(choose_layers(Net(), layers)) == names


class Unlike(nn.Module):
    """A module of the user's that is neither true nor false, and like no other."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x):
        return self.inner(x)

    def _refuse(self, *_):
        raise TypeError("It cannot be said.")

    __bool__ = __len__ = __eq__ = _refuse
    __hash__ = nn.Module.__hash__


class Empty(Unlike):
    """A module of the user's that counts as false."""

    def __bool__(self):
        return False


@pytest.mark.parametrize("part", [Unlike, Empty])
def test_modules_are_not_asked_for_their_truth_value(part):
    c = classifier()
    model = nn.Sequential(part(), nn.Linear(8, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    c = type(c)(model, optimizer, c.loss_fn, c.train_loader)
    assert list(choose_layers(model)) == ["0.inner", "1"]
    with nni.watch(c.model, c.optimizer, c.loss_fn, train_loader=c.train_loader, every=1, probes="full") as inspector:
        c.run(2)
        findings = inspector.diagnose(budget=60.0).findings
    assert inspector.problems == []
    assert inspector.run.sources("activation_mean") == ["0.inner", "1"]
    assert not [finding.message for finding in findings if "failed itself" in finding.message]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            "decoder.*",
            r"layers: expected something that fits a module, got 'decoder.\*', which fits none. Modules are \"encoder\"",
        ),
        (nn.Conv2d, "which fits none"),
        (7, "layers: expected names, types of modules, a list of both, or a function"),
        (["head", 7], "expected names"),
        (nn.Linear(1, 1), "expected names"),
        (lambda name, module: False, "which fits none"),
        ([], "which fits none"),
    ],
    ids=lambda value: "function" if inspect.isfunction(value) else str(value),
)
def test_a_choice_of_layers_that_cannot_be(layers, message):
    with pytest.raises(nni.ArgumentError, match=message):
        choose_layers(Net(), layers)


@pytest.mark.parametrize(
    ("probes", "message"),
    [
        ("everything", 'probes: expected "light", "standard", "full" or a list of probes, got \'everything\''),
        (["loss", "colour"], 'expected names of probes, got \'colour\'. There are "loss", "learning_rate"'),
        ([], "got an empty list"),
        (3, "expected a preset or a list of names"),
    ],
)
def test_a_choice_of_probes_that_cannot_be(probes, message):
    with pytest.raises(nni.ArgumentError, match=message):
        choose_probes(probes)


def test_presets_grow_and_hold_probes_that_exist():
    light, standard, full = (set(PRESETS[name]) for name in ("light", "standard", "full"))
    assert light < standard < full == set(PROBES)


def measured(probes):
    case = classifier()
    with nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, probes=probes, every=1
    ) as inspector:
        case.run(2)
    assert inspector.problems == []
    assert set(inspector.run.quantities()) <= set(QUANTITIES)
    return set(inspector.run.quantities())


def test_what_each_preset_measures():
    light = {"loss", "learning_rate", "training_mode", "gradient_norm", "weight_norm", "update_norm", "update_ratio",
             "kept_gradient", "cleared_gradient", "gradient_left", "step_seconds", "data_seconds", "own_seconds"}  # fmt: skip
    standard = light | {"activation_mean", "activation_spread", "activation_zeros", "activation_nonfinite", "activation_histogram",
                        "dead_units", "unit_activity", "memory_bytes", "prediction_spread", "prediction_mean",
                        "prediction_top_share", "target_top_share", "confusion", "worst_items"}  # fmt: skip
    assert measured("light") == light
    assert measured("standard") == standard
    assert measured("full") > standard


@pytest.mark.parametrize("probe", PROBES)
def test_each_probe_works_alone(probe):
    measured([probe])


def test_only_the_chosen_layers_are_hooked():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, layers="2", every=1) as inspector:
        assert inspector.layers == ["2"]
        assert not case.model[0]._forward_hooks
        case.run(1)
    assert inspector.run.sources("activation_mean") == ["2"]
    assert "0.weight" in inspector.run.sources("gradient_norm")


def test_a_wrong_choice_leaves_the_earlier_inspector_in_place():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn) as inspector:
        with pytest.raises(nni.ArgumentError):
            nni.watch(case.model, case.optimizer, case.loss_fn, layers="nothing")
        case.run(1)
        assert inspector.run.steps == 6
    assert all(not module._forward_hooks for module in case.model.modules())
    assert torch.overrides._get_current_function_mode_stack() == []
