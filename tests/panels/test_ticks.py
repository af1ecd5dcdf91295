import bqplot
import pytest

from nn_inspector.panels.ticks import decade_ticks, set_ticks, step_ticks, value_ticks

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
