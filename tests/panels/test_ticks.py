import bqplot
import pytest

from nn_inspector.panels.ticks import decade_ticks, set_ticks, side_by_side, step_ticks, value_ticks

NAN = float("nan")


@pytest.mark.parametrize(
    ("low", "high", "most", "texts"),
    [
        (0.0, 0.39, 2, ["0", "0.2"]),
        (0.0, 0.395, 2, ["0", "0.2", "0.4"]),
        (0.0, 100.0, 5, ["0", "20", "40", "60", "80", "100"]),
        (-3.0, 9_000.0, 3, ["0", "5,000"]),
        (3e-7, 9e-7, 3, ["4e-07", "6e-07", "8e-07"]),
        (4.0, 4.0, 3, ["4"]),
        (NAN, NAN, 3, []),
    ],
)
def test_values_have_few_round_ticks(low, high, most, texts):
    assert [text for _, text in value_ticks(low, high, most=most)] == texts


def test_steps_have_whole_ticks_up_to_the_last_step():
    assert step_ticks(7.0).tolist() == [0, 2, 4, 6]
    assert step_ticks(0.0).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("texts", "letters", "left"),
    [
        ("0 0.2 0.4", 12, "0 0.2 0.4"),
        ("0 1e+33 2e+33", 12, "0 2e+33"),
        ("0 1.2e+134", 4, "0 1.2e+134"),
        ("0 200,000 400,000 600,000 800,000", 28, "0 400,000 800,000"),
        ("7", 0, "7"),
    ],
)
def test_long_texts_stand_beside_each_other_at_fewer_ticks(texts, letters, left):
    ticks = list(enumerate(texts.split()))
    assert [text for _, text in side_by_side(ticks, letters=letters)] == left.split()


@pytest.mark.parametrize("last", [9_999.0, 65_000.0, 1_200_000.0, 999_999_999.0])
def test_steps_of_a_long_training_have_room(last):
    ticks = step_ticks(last)
    assert ticks[0] == 0
    assert len(ticks) >= 2
    assert sum(len(f"{tick:,.0f}") + 1 for tick in ticks) <= 40


def test_many_decades_have_ticks_at_some_and_short_texts():
    assert len(decade_ticks(-30.0, 30.0)) <= 9
    assert [text for _, text in decade_ticks(3.0, 6.0)] == ["1000", "10000", "1e5", "1e6"]
    assert [text for _, text in decade_ticks(-6.0, -3.0)] == ["1e-6", "1e-5", "0.0001", "0.001"]


def test_texts_are_sent_before_positions_and_only_news_is_sent():
    axis, sent = bqplot.Axis(scale=bqplot.LinearScale()), []
    axis.observe(lambda change: sent.append(change.name), ["tick_values", "tick_labels"])
    set_ticks(axis, [(0.0, "first"), (1.0, "second")])
    assert sent == ["tick_labels", "tick_values"]
    set_ticks(axis, [(0.0, "first"), (1.0, "second")])
    set_ticks(axis, [(1.0, "second")])
    assert sent == ["tick_labels", "tick_values", "tick_values"]
    assert axis.tick_labels == {"0": "first", "1": "second"}
