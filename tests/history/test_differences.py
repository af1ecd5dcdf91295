import pytest

import nn_inspector as nni
from nn_inspector.history.differences import differences


def run(parameters, **metadata):
    made = nni.Run("made", parameters)
    made.metadata = metadata
    return made


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"model": "A"}, {"model": "A"}, []),
        ({"model": "A"}, {"model": "B"}, [("model", "A", "B")]),
        ({"optimizers": [{"groups": [{"lr": 0.1, "betas": [0.9, 0.99]}]}]}, {"optimizers": [{"groups": [{"lr": 0.2, "betas": [0.9, 0.99]}]}]},
         [("optimizers 0 groups 0 lr", "0.1", "0.2")]),
        ({"loaders": {"train": {"batch_size": 16}}}, {"loaders": {}}, [("loaders train batch size", "16", "—")]),
        ({"modules": {"": "Net", "0": "Linear"}}, {"modules": {"": "Sequential", "0": "Linear", "1": "ReLU"}},
         [("modules (the network)", "Net", "Sequential"), ("modules 1", "—", "ReLU")]),
        ({"betas": (0.9, 0.99)}, {"betas": [0.9, 0.99]}, []),
        ({}, {}, []),
    ],
)  # fmt: skip
def test_only_what_differs_is_told(one, other, expected):
    found = [(row.name, *row.values) for row in differences([run(one), run(other)])]
    assert found == expected


def test_the_seed_and_what_was_changed_meanwhile_are_differences_and_the_time_is_none():
    one = run({"model": "A"}, seed=0, started="now", notes=[{"step": 30, "what": "learning rate set to 0.1"}])
    rows = differences([one, run({"model": "A"}, seed=1, started="then")])
    assert [(row.name, *row.values) for row in rows] == [
        ("seed", "0", "1"),
        ("changed meanwhile", "step 30: learning rate set to 0.1", "—"),
    ]


def test_one_run_differs_from_nothing():
    assert differences([run({"model": "A"})]) == []
    assert differences([]) == []
