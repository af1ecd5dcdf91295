import gc
import threading

import numpy as np

from nn_inspector.history import staging
from nn_inspector.history.staging import Staging
from nn_inspector.probes import Measurement
from tests.history.files import numbers


def test_values_are_handed_over_once_by_width_and_in_order():
    waiting = Staging()
    waiting.put([*numbers(0, 3, ("a", "b")), Measurement(7, "histogram", "x", np.array([1.0, np.nan, 3.0]))])
    tails = waiting.take()
    assert waiting.series == [("loss", "a", 0), ("loss", "b", 0), ("histogram", "x", 3)]
    assert tails[0].series.tolist() == [1, 2, 1, 2, 1, 2]
    assert tails[0].steps.tolist() == [0, 0, 1, 1, 2, 2]
    assert tails[0].values.tolist() == [0, 0, 1, 1, 2, 2]
    assert np.array_equal(tails[3].values, [[1.0, np.nan, 3.0]], equal_nan=True)
    assert waiting.take() == {}


def test_numbers_of_numpy_are_numbers():
    waiting = Staging()
    waiting.put([Measurement(0, "a", "b", np.float32(0.5)), Measurement(1, "a", "b", np.array(2.0))])
    assert waiting.take()[0].values.tolist() == [0.5, 2.0]


def test_what_waits_is_bounded(monkeypatch):
    monkeypatch.setattr(staging, "MOST_WAITING", 100)
    waiting = Staging()
    waiting.put(numbers(0, 1000))
    assert (waiting.waiting, waiting.lost) == (101, 899)
    waiting.take()
    waiting.put(numbers(1000, 1001))
    assert waiting.waiting == 1


def test_a_vector_of_another_length_is_left_out():
    waiting = Staging()
    waiting.put(
        [Measurement(0, "h", "x", np.zeros(3)), Measurement(1, "h", "x", np.zeros(4)), Measurement(2, "h", "x", 1.0)]
    )
    assert waiting.left_out == {"h of x"}
    assert waiting.take()[3].steps.tolist() == [0]


def test_nothing_is_left_for_the_garbage_collector_to_walk_over():
    waiting = Staging()
    waiting.put(numbers(0, 10))
    before = gc.get_count()[0]
    waiting.put(numbers(0, 1)[0] for _ in range(300))
    assert gc.get_count()[0] - before < 50


def test_no_value_is_lost_between_two_threads():
    waiting, taken, done = Staging(), [], threading.Event()

    def take():
        while not done.is_set():
            taken.extend(tail.values for tail in waiting.take().values())
        taken.extend(tail.values for tail in waiting.take().values())

    thread = threading.Thread(target=take)
    thread.start()
    for start in range(0, 20_000, 10):
        waiting.put(numbers(start, start + 10))
    done.set()
    thread.join()
    assert np.concatenate(taken).tolist() == list(range(20_000))
