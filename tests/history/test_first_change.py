import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nn_inspector as nni
from nn_inspector.history.compared import COMPARED, series_of
from nn_inspector.history.first_change import FACTOR, LEAST, PATIENCE, SHARE, first_changes, quantities_compared
from nn_inspector.probes import Measurement

MAGNITUDES = [quantity for quantity in COMPARED if quantity.kind == "magnitude" and quantity.name != "update_ratio"]


def run_of(columns, steps=None):
    """A run from (quantity, source) -> values, one a step."""
    run = nni.Run("made", {"model": "M"})
    for (quantity, source), values in columns.items():
        at = range(len(values)) if steps is None else steps
        run.record(Measurement(step, quantity, source, float(value)) for step, value in zip(at, values, strict=True))
        run.steps = max(run.steps, int(list(at)[-1]) + 1)
    return run


def noise(length, seed=0):
    return np.exp(0.1 * np.random.default_rng(seed).normal(size=length))


def told(run, reference):
    return [(change.quantity.name, change.source, change.step) for change in first_changes(run, reference)]


# properties


@given(seed=st.integers(0, 10**6), length=st.integers(1, 300), scale=st.floats(-6, 6))
@settings(deadline=None, max_examples=40)
def test_a_run_does_not_differ_from_itself_nor_from_more_of_the_same(seed, length, scale):
    scales = {"share": 0.1, "setting": 1.0}
    names = {(quantity.name, "0.weight"): scales.get(quantity.kind, 10.0**scale) for quantity in COMPARED}
    run = run_of({key: size * noise(length, seed) for key, size in names.items()})
    assert told(run, run) == []
    alike = {key: size for key, size in names.items() if key[0] in {quantity.name for quantity in MAGNITUDES}}
    assert told(run_of({key: size * noise(length, seed + 1) for key, size in alike.items()}), run) == []
    assert told(run_of({key: size * noise(length, seed) for key, size in alike.items()}), range(length // 2)) == []


@given(
    quantity=st.sampled_from(MAGNITUDES),
    at=st.integers(30, 250),
    times=st.floats(2 * FACTOR, 1e6),
    up=st.booleans(),
    seed=st.integers(0, 10**6),
)
@settings(deadline=None, max_examples=60)
def test_a_lasting_change_is_found_at_its_step(quantity, at, times, up, seed):
    key = (quantity.name, "0.weight")
    values = noise(300, seed)
    values[at:] *= times if up else 1 / (times * FACTOR)
    source = "0" if quantity.name in ("gradient_norm", "weight_norm") else "0.weight"
    for reference in (run_of({key: noise(300, seed + 1)}), range(5, 29)):
        (change,) = first_changes(run_of({key: values}), reference)
        assert (change.quantity.name, change.source, change.step, change.since) == (quantity.name, source, at, at - 1)
        assert change.low <= change.high
        assert change.value == pytest.approx(values[at])
        assert change.value > change.high if up else change.value < change.low


@given(scale=st.floats(-8, 8), at=st.integers(25, 80), seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=30)
def test_units_do_not_matter(scale, at, seed):
    values, past = noise(100, seed), noise(100, seed + 1)
    values[at:] *= 20
    key = ("gradient_norm", "0.weight")
    plain = told(run_of({key: values}), run_of({key: past}))
    assert plain == told(run_of({key: 10.0**scale * values}), run_of({key: 10.0**scale * past})) != []


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(30, 90)), min_size=1, unique_by=lambda pair: pair[0]))
@settings(deadline=None, max_examples=30)
def test_the_first_one_comes_first(changes):
    columns = {("gradient_norm", f"{layer}.weight"): noise(100, number) for number, layer in enumerate("abcdef")}
    reference = run_of(columns)
    for layer, at in changes:
        columns["gradient_norm", f"{layer}.weight"] = np.where(np.arange(100) >= at, 50.0, 1.0)
    found = told(run_of(columns), reference)
    assert [step for *_, step in found] == sorted(step for _, step in changes)
    assert {(layer, step) for _, layer, step in found} == set(changes)


# cases


def test_what_happens_at_one_step_is_told_as_the_step_makes_it():
    jump = np.where(np.arange(60) >= 40, 100.0, 1.0)
    names = ("weight_norm", "gradient_norm", "loss", "activation_spread")
    columns = {(name, "train" if name == "loss" else layer): jump for name in names for layer in ("0", "2")}
    columns = {(name, f"{layer}.weight" if "norm" in name else layer): part for (name, layer), part in columns.items()}
    columns["learning_rate", "group"] = jump
    found = told(run_of(columns), range(10, 30))
    assert [(name, source) for name, source, _ in found] == [
        ("learning_rate", "group"),
        ("activation_spread", "0"),
        ("activation_spread", "2"),
        ("loss", "train"),
        ("gradient_norm", "2"),
        ("gradient_norm", "0"),
        ("weight_norm", "0"),
        ("weight_norm", "2"),
    ]


def test_a_short_excursion_is_no_change_and_a_far_one_upwards_is():
    key, reference = ("gradient_norm", "0.weight"), run_of({("gradient_norm", "0.weight"): np.ones(100)})
    values = np.ones(100)
    values[50 : 50 + PATIENCE - 1] = 2 * FACTOR
    assert told(run_of({key: values}), reference) == []
    values[50 + PATIENCE - 1] = 2 * FACTOR
    assert told(run_of({key: values}), reference) == [("gradient_norm", "0", 50)]
    values[50:] = 1.0
    values[70] = 1e3
    assert told(run_of({key: values}), reference) == [("gradient_norm", "0", 70)]
    values[70] = 1e-2
    assert told(run_of({key: values}), reference) == []


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("quantity", ["loss", "activation_spread", "activation_zeros"])
def test_a_value_that_is_not_finite_is_a_change_at_once(quantity, wrong):
    key, source = (quantity, "train"), "train"
    values = np.full(50, 0.5)
    values[49] = wrong
    assert told(run_of({key: values}), run_of({key: np.full(50, 0.5)})) == [(quantity, source, 49)]
    assert told(run_of({key: values}), run_of({key: values})) == []


def test_a_lower_loss_is_no_fault_and_a_higher_one_is():
    key = ("loss", "train")
    reference = run_of({key: np.full(60, 1.0)})
    assert told(run_of({key: np.full(60, 0.01)}), reference) == []
    assert told(run_of({key: np.full(60, 2 * FACTOR)}), reference) == [("loss", "train", 0)]


def test_a_setting_holds_until_it_is_changed_and_is_compared_exactly():
    key = ("learning_rate", "group")
    first = run_of({key: [0.1]}, steps=[0])
    first.steps = 100
    changed = run_of({key: [0.1, 0.11]}, steps=[0, 70])
    assert told(changed, first) == [("learning_rate", "group", 70)]
    assert told(changed, range(20, 60)) == [("learning_rate", "group", 70)]
    assert told(first, first) == []
    other = run_of({key: [0.3, 0.1]}, steps=[0, 50])
    other.steps = 100
    assert told(other, first) == [], "another rate from the start is a parameter"
    never = run_of({key: [0.0, 0.0]})
    assert told(never, never) == []


@pytest.mark.parametrize("beyond", [0.9 * SHARE, 1.1 * SHARE])
def test_shares_are_compared_by_their_difference(beyond):
    key = ("dead_units", "1")
    found = told(run_of({key: np.full(30, 0.1 + beyond)}), run_of({key: np.full(30, 0.1)}))
    assert bool(found) == (beyond > SHARE)


def test_what_is_almost_zero_in_both_is_alike():
    reference = np.concatenate([np.full(50, 1.0), np.full(200, 1e-9)])
    values = np.concatenate([np.full(50, 1.0), np.full(200, 1e-5)])
    key = ("gradient_norm", "0.weight")
    assert told(run_of({key: values}), run_of({key: reference})) == []


def test_a_reference_says_nothing_beyond_its_end_nor_with_too_few_values():
    key = ("gradient_norm", "0.weight")
    longer = np.where(np.arange(200) >= 150, 1e5, 1.0)
    assert told(run_of({key: longer}), run_of({key: np.ones(100)})) == []
    assert told(run_of({key: np.full(30, 1e5)}), run_of({key: np.ones(LEAST - 1)})) == []
    assert told(run_of({key: longer}), range(10, 10 + LEAST - 1)) == []
    assert told(run_of({key: longer}), range(500, 900)) == []


def test_layers_that_the_other_does_not_have_are_left_out():
    assert (
        told(run_of({("weight_norm", "a.weight"): np.ones(30)}), run_of({("weight_norm", "b.weight"): np.ones(30)}))
        == []
    )
    assert told(nni.Run("a", {}), nni.Run("b", {})) == []


def test_sparse_values_are_compared_with_the_nearest_of_the_reference():
    key = ("gradient_norm", "0.weight")
    steps = np.arange(0, 2000, 200)
    reference = run_of({key: [1, 8, 1, 8, 1, 8, 1, 8, 1, 8]}, steps=steps)
    assert told(run_of({key: np.full(10, 20.0)}, steps=steps + 7), reference) == []


def test_what_was_measured_often_enough_in_both_is_known():
    one = run_of({("loss", "train"): np.ones(30), ("weight_norm", "a.weight"): np.ones(30)})
    other = run_of({("loss", "train"): np.ones(30), ("weight_norm", "b.weight"): np.ones(30)})
    assert [quantity.name for quantity in quantities_compared(one, other)] == ["loss"]
    assert [quantity.name for quantity in quantities_compared(one, range(20))] == ["loss", "weight_norm"]
    assert quantities_compared(one, range(LEAST - 1)) == quantities_compared(one, nni.Run("empty", {})) == []


def test_norms_are_those_of_a_layer_and_updates_are_compared_to_its_weights():
    run = run_of({("gradient_norm", "a.weight"): [3.0, 3.0], ("gradient_norm", "a.bias"): [4.0, 4.0],
                  ("gradient_norm", "scale"): [1.0, 1.0],
                  ("update_norm", "a.weight"): [0.1, 0.1], ("weight_norm", "a.weight"): [0.0, 10.0]})  # fmt: skip
    norms = series_of(run, "gradient_norm")
    assert list(norms) == ["a", "model"]
    assert norms["a"].values.tolist() == [5.0, 5.0]
    ratio = series_of(run, "update_ratio")["a"]
    assert (ratio.steps.tolist(), ratio.values.tolist()) == ([1], [0.01])


def test_a_change_says_what_where_and_when():
    run = run_of({("loss", "train"): np.where(np.arange(60) >= 50, 40.0, 1.0)})
    (change,) = first_changes(run, range(10, 40))
    assert change.text == "loss: 40 at step 50, where the reference is 1"


def test_long_runs_are_compared_by_their_buckets():
    values = np.where(np.arange(40_000) >= 20_000, 1e4, 1.0)
    run = run_of({("loss", "train"): values})
    (change,) = first_changes(run, run_of({("loss", "train"): np.ones(40_000)}))
    assert change.since < 20_000 <= change.step
    assert change.step - change.since < 200
