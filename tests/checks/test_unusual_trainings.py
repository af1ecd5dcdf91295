"""All checks on trainings of an unusual form: none fails itself, and each says why where it could not look."""

import contextlib
import time

import pytest
import torch

import nn_inspector as nni
from tests.unusual import UNUSUAL


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", UNUSUAL)
def test_no_check_fails_itself(monkeypatch, name):
    monkeypatch.setattr(time, "monotonic", time.process_time)  # a busy machine leaves no check out
    case = UNUSUAL[name]()
    inspector = nni.watch(case.model, case.optimizer, train_loader=case.loader, show=False, **case.options)
    with inspector:
        with contextlib.suppress(Exception):
            case.run()
        weights = [one.detach().clone() for one in case.model.parameters()]
        diagnosis = inspector.diagnose()
    assert diagnosis.left_out == {}
    assert {finding.check for finding in diagnosis.findings} == {info.name for info in nni.catalog()}
    assert [finding.message for finding in diagnosis.findings if "failed itself" in finding.message] == []
    unclear = [one for one in diagnosis.findings if one.severity == "skipped" and not one.message.strip().endswith(".")]
    assert unclear == []
    torch.testing.assert_close(
        weights, list(case.model.parameters()), rtol=0, atol=0, equal_nan=True, check_layout=False
    )
