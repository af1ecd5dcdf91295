"""Which layers share a row where there are many."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nn_inspector as nni
from nn_inspector.history import Chart, Heat
from nn_inspector.panels.choice import PANELS
from nn_inspector.panels.layer_rows import MOST_ROWS, MOST_UNFOLDED, Row, grouped, rows_for
from nn_inspector.panels.layers import UNFOLDS, rows_of, short, title
from nn_inspector.panels.panel import Selection
from nn_inspector.panels.row_names import TO, inside, meet, name_together
from nn_inspector.probes import Measurement

part = st.sampled_from(["0", "1", "2", "3", "10", "conv1", "conv2", "norm", "attn", "h", "01"])
layer_lists = st.lists(st.lists(part, min_size=1, max_size=5).map(".".join), max_size=80, unique=True)


def gpt(blocks):
    inner = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
    inside_blocks = [f"transformer.h.{block}.{layer}" for block in range(blocks) for layer in inner]
    return ["transformer.wte", "transformer.wpe", *inside_blocks, "transformer.ln_f", "lm_head"]


def resnet(*stages):
    bottleneck = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3")
    return [
        "conv1",
        "bn1",
        *(
            f"layer{stage}.{block}.{layer}"
            for stage, blocks in enumerate(stages, start=1)
            for block in range(blocks)
            for layer in (*bottleneck, *(("downsample.0", "downsample.1") if block == 0 else ()))
        ),
        "fc",
    ]


def flat(count):
    return [str(place) for place in range(count)]


def halves(depth):
    return [f"{first}.{rest}" for first in "01" for rest in halves(depth - 1)] if depth > 1 else ["0", "1"]


def names(layers, selected=None):
    return [row.name.replace(TO, "-") for row in rows_for(layers, selected)]


@given(layer_lists, st.integers(2, MOST_ROWS))
def test_each_layer_is_in_exactly_one_of_few_rows_in_order(layers, most):
    rows = grouped(tuple(layers), most)
    assert len(rows) <= most
    assert sorted(layer for row in rows for layer in row.layers) == sorted(layers)
    assert len({row.name for row in rows}) == len(rows)
    firsts = [layers.index(row.layers[0]) for row in rows]
    assert firsts == sorted(firsts)
    for row in rows:
        assert sorted(row.layers, key=layers.index) == list(row.layers)
        assert all(inside(layer, row.name) for layer in row.layers)
        assert len(row.layers) > 1 or row.name == row.layers[0]
    assert len(layers) > most or [row.name for row in rows] == layers


@given(layer_lists)
def test_blocks_are_not_torn_apart_where_their_layers_stand_together(layers):
    layers = sorted(layers, key=lambda name: name.split("."))
    assert [layer for row in rows_for(layers) for layer in row.layers] == layers


@settings(max_examples=50)
@given(layer_lists.filter(len), st.data())
def test_going_down_from_row_to_row_ends_at_a_layer(layers, data):
    layer = data.draw(st.sampled_from(layers))
    around = next(row for row in rows_for(layers) if layer in row.layers)
    while len(around.layers) > 1:
        rows = rows_for(layers, around.name)
        assert sorted(one for row in rows for one in row.layers) == sorted(layers)
        inner = next(row for row in rows if layer in row.layers)
        assert len(inner.layers) < len(around.layers)
        around = inner
    assert layer in names(layers, layer)


@pytest.mark.parametrize(
    ("layers", "count", "some"),
    [
        (gpt(4), 24, ["transformer.h.0.mlp", "transformer.h.1.ln_1", "lm_head"]),
        (gpt(12), 16, ["transformer.wte", "transformer.h.0", "transformer.h.11", "transformer.ln_f"]),
        (gpt(48), 20, ["transformer.wpe", "transformer.h.0-2", "transformer.h.45-47", "lm_head"]),
        (resnet(2, 2, 2, 2), 11, ["conv1", "layer1.0", "layer4.1", "fc"]),
        (resnet(3, 4, 6, 3), 19, ["bn1", "layer1.0", "layer3.5", "layer4.2", "fc"]),
        (resnet(3, 8, 36, 3), 24, ["layer1.2", "layer2.0-2", "layer2.6-7", "layer3.33-35", "layer4.2"]),
        (flat(24), 24, ["0", "23"]),
        (flat(25), 13, ["0-1", "24"]),
        (flat(201), 23, ["0-8", "9-17", "198-200"]),
        (flat(201)[::2], 21, ["0-8", "10-18", "200"]),
        (halves(8), 16, ["0.0.0.0", "1.1.1.1"]),
        ([f"a.b.c.d.{place}" for place in range(30)], 15, ["a.b.c.d.0-1"]),
        ([f"{side}.{block}.{name}" for side in ("encoder", "decoder") for block in range(24) for name in "abc"],
         24, ["encoder.0-1", "decoder.22-23"]),
        ([f"layer_{first}{second}" for first in "abcde" for second in "abcdefgh"], 20, ["layer_aa, layer_ab"]),
        (["model"], 1, ["model"]),
        ([], 0, []),
    ],
)  # fmt: skip
def test_rows_of_well_known_shapes(layers, count, some):
    found = names(layers)
    assert len(found) == count
    assert set(some) <= set(found)


@pytest.mark.parametrize(
    ("selected", "instead"),
    [
        (f"transformer.h.3{TO}5", ["transformer.h.3", "transformer.h.4", "transformer.h.5"]),
        ("transformer.h.3", ["transformer.h.3.ln_1", "transformer.h.3.attn", "transformer.h.3.ln_2", "transformer.h.3.mlp",
                             "transformer.h.4", "transformer.h.5"]),
        ("transformer.h.3.mlp.c_fc", ["transformer.h.3.ln_1", "transformer.h.3.attn", "transformer.h.3.ln_2",
                                      "transformer.h.3.mlp.c_fc", "transformer.h.3.mlp.c_proj", "transformer.h.4",
                                      "transformer.h.5"]),
        ("transformer.h", ["transformer.h.3-5"]),
        ("lm_head", ["transformer.h.3-5"]),
        (f"transformer.h.1{TO}4", ["transformer.h.3-5"]),
        ("transformer.h.99", ["transformer.h.3-5"]),
        ("never heard of", ["transformer.h.3-5"]),
    ],
)  # fmt: skip
def test_what_is_selected_unfolds_where_it_stands(selected, instead):
    rows = names(gpt(48))
    place = rows.index("transformer.h.3-5")
    assert names(gpt(48), selected) == rows[:place] + instead + rows[place + 1 :]


def test_a_long_row_unfolds_into_rows_that_can_be_read():
    rows = names(flat(2001), f"0{TO}83")
    assert len(rows) - len(names(flat(2001))) < MOST_UNFOLDED
    assert rows[:2] == ["0-6", "7-13"]
    assert names(flat(2001), f"0{TO}6")[:8] == ["0", "1", "2", "3", "4", "5", "6", "7-13"]


@pytest.mark.parametrize(
    ("one", "other", "met"),
    [
        ("h.2", f"h.0{TO}3", True),
        ("h.2.mlp.up", f"h.0{TO}3", True),
        ("h", f"h.0{TO}3", True),
        ("h.4", f"h.0{TO}3", False),
        ("g.2", f"h.0{TO}3", False),
        ("h.norm", f"h.0{TO}3", False),
        (f"h.3{TO}5", f"h.0{TO}3", True),
        (f"h.4{TO}5", f"h.0{TO}3", False),
        (f"h.0{TO}9", f"h.3{TO}4", True),
        ("conv2.a", f"conv1{TO}3", True),
        ("mlp.down.bias", "mlp.up, down", True),
        ("mlp.side", "mlp.up, down", False),
        ("h.1", "h.10", False),
    ],
)
def test_names_stand_for_what_they_say(one, other, met):
    assert meet(one, other) == meet(other, one) == met


@pytest.mark.parametrize(
    ("siblings", "name"),
    [
        (["h.0", "h.1"], "h.0-1"),
        (["layer1", "layer2"], "layer1-2"),
        (["0", "2", "4"], "0-4"),
        (["h.1", "h.0"], "h.1, 0"),
        (["a1", "b2"], "a1, b2"),
        (["x.norm", "x.0"], "x.norm, 0"),
    ],
)
def test_siblings_are_named_together(siblings, name):
    assert name_together(siblings).replace(TO, "-") == name


def test_rows_are_titled_with_the_type_of_their_blocks():
    kinds = {
        "": "Net",
        "h": "ModuleList",
        "h.0": "Block",
        "h.1": "Block",
        "h.2": "Block",
        "0": "Linear",
        "1": "Tanh",
        "2": "Linear",
    }
    run = nni.Run("made", {"model": "M", "modules": kinds})
    assert title(run, f"h.0{TO}2") == f"h.0{TO}2 Block"
    assert title(run, f"0{TO}2") == f"0{TO}2"
    assert title(run, "mlp.gate, up, down", limit=40) == "mlp.gate to down"
    assert short("transformer.h.10.mlp") == "…h.10.mlp"


def test_a_selection_from_another_panel_marks_every_row_that_shares_a_layer():
    rows = (f"h.0{TO}2", f"h.3{TO}5", f"h.6{TO}8")
    assert rows_of(rows, f"h.2{TO}3") == (0, 1)
    assert rows_of(rows, "h.7.mlp") == (2,)


# the panels


def deep_run(blocks=48):
    layers = [layer for layer in gpt(blocks) if not layer.endswith("wpe")]
    run = nni.Run("made", {"model": "M", "own_parameters": dict.fromkeys(layers, 4)})
    for step in range(2):
        run.record(
            [
                Measurement(step, quantity, f"{layer}.weight", 0.0 if "h.4.mlp.c_fc" in layer else 1.0)
                for quantity in ("gradient_norm", "update_norm", "weight_norm")
                for layer in layers
            ]
        )
        run.record(
            [
                Measurement(step, quantity, layer, 0.9 if "h.4.mlp.c_fc" in layer else 0.1)
                for quantity in ("activation_spread", "dead_units", "attention_entropy")
                for layer in layers
            ]
        )
        run.record([Measurement(step, "unit_activity", layer, np.array([0.5, 0.0, 1.0])) for layer in layers])
    run.steps = 2
    return run


BY_LAYER = ("gradient_flow", "update_ratio", "weight_norm", "weight_history", "activation_spread", "idle_units",
            "attention_entropy", "unit_map")  # fmt: skip


def chart_of(name, selected=None, run=None) -> Chart:
    panel = next(panel for panel in PANELS if panel.name == name)
    return panel.picture(run or deep_run(), Selection(selected))


@pytest.mark.parametrize("name", BY_LAYER)
def test_every_panel_by_layer_shows_few_rows_and_unfolds_what_is_selected(name):
    chart = chart_of(name)
    assert len(chart.labels) == len(chart.layers) == 19
    assert f"transformer.h.3{TO}5" in chart.layers
    assert UNFOLDS in chart.note
    unfolded = chart_of(name, f"transformer.h.3{TO}5")
    assert [unfolded.layers[place] for place in unfolded.chosen] == [f"transformer.h.{block}" for block in (3, 4, 5)]
    assert "transformer.h.4.mlp.c_fc" in chart_of(name, "transformer.h.4.mlp.c_fc").layers
    heat = unfolded.heat
    assert not isinstance(heat, Heat) or len(heat.values) == len(unfolded.layers)


def test_a_gradient_that_vanishes_inside_of_a_row_is_said_and_seen():
    chart = chart_of("gradient_flow")
    assert "Gradient is zero in: transformer.h.4.mlp.c_fc." in chart.note
    place = chart.layers.index(f"transformer.h.3{TO}5")
    least = chart.series["least of its layers"]
    assert dict(zip(least.x, least.y, strict=True))[place] == 0.0
    assert chart.series["now"].y[place] == pytest.approx(17**0.5)
    assert "least of its layers" not in chart_of("gradient_flow", run=deep_run(3)).series


def test_several_layers_in_a_row_show_what_stands_out():
    place = chart_of("idle_units").layers.index(f"transformer.h.3{TO}5")
    assert chart_of("idle_units").series["dead"].y[place] == pytest.approx(90.0)
    spread = chart_of("activation_spread")
    assert spread.series["now"].y[place] == pytest.approx(0.1)
    greatest = spread.series["greatest of its layers"]
    assert dict(zip(greatest.x, greatest.y, strict=True))[place] == pytest.approx(0.9)
    assert chart_of("unit_map").remarks[place] == "54 units, 18 idle"
    assert chart_of("weight_history").heat.values[place] == pytest.approx((17 / (18 * 4)) ** 0.5)


def test_over_time_the_selected_block_has_a_curve_of_its_own():
    for selected, norm in (("transformer.h.4", 5**0.5), (f"transformer.h.3{TO}5", 17**0.5), ("lm_head", 1.0)):
        series = chart_of("gradient_norm", selected).series
        assert series[short(selected, 30)].y[-1] == pytest.approx(norm)
    assert set(chart_of("gradient_norm", "elsewhere").series) == set(chart_of("gradient_norm").series)
    assert chart_of("update_history", "lm_head").series["lm_head"].y.tolist() == [1.0, 1.0]


def test_a_row_is_one_layer_or_a_block():
    assert rows_for(["a", "b"]) == (Row("a", ("a",)), Row("b", ("b",)))
