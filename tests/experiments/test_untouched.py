"""All checks, one after another, on trainings of many kinds: each leaves everything as it was."""

import pytest
import torch

import nn_inspector as nni
from tests.experiments.kinds import KINDS
from tests.trainings import assert_equal, state_of

OPTIONS = {"human_baseline": {"labels": [0, 1, 2, 3]}}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KINDS)
def test_every_check_leaves_everything_as_it_was(name):
    torch.manual_seed(0)
    kind = KINDS[name]()
    made = set()
    with kind.watch() as inspector:
        kind.run()
        before = state_of(*kind.owned)
        for info in nni.catalog():
            finding = inspector.check(info.name, seconds=0.1, **OPTIONS.get(info.name, {}))
            assert_equal(state_of(*kind.owned), before)
            made |= {info.name} if finding.severity != "skipped" else set()
    assert made
