import json
import math

import numpy as np

from nn_inspector import Finding, Remedy, Run, Trial
from nn_inspector.probes import Epoch, Measurement


def test_series_sources_and_latest_values():
    run = Run("demo", {})
    run.record(
        [Measurement(0, "loss", "train", 2.0), Measurement(0, "norm", "a", 1.0), Measurement(1, "loss", "train", 1.5)]
    )
    assert run.quantities() == ["loss", "norm"]
    assert run.sources("norm") == ["a"]
    assert run.series("loss", "train").values.tolist() == [2.0, 1.5]
    assert run.last("loss", "train") == 1.5
    assert run.last("loss", "validation") is None
    assert len(run.series("nothing", "")) == 0


def test_a_look_back_at_a_step():
    run = Run("demo", {})
    run.record([Measurement(step, "loss", "train", 10.0 - step) for step in range(5)])
    run.record([Measurement(2, "norm", "a", 7.0)])
    assert run.at(1) == {("loss", "train"): 9.0}
    assert run.at(4)[("norm", "a")] == 7.0


def test_vectors_are_kept_as_vectors():
    run = Run("demo", {})
    run.record([Measurement(0, "histogram", "layer", np.array([1.0, 2.0]))])
    assert run.last_vector("histogram", "layer").tolist() == [1.0, 2.0]


def test_first_and_latest_epochs_are_kept():
    run = Run("demo", {})
    for number in range(500):
        run.add_epoch(Epoch("train", number, 0))
    numbers = [epoch.number for epoch in run.epochs("train")]
    assert numbers[:2] == [0, 1]
    assert numbers[-1] == 499
    assert len(numbers) < 100
    assert run.epochs("validation") == []


def test_a_finding_takes_the_place_of_the_one_before():
    run = Run("demo", {})
    run.add_finding(Finding("initial_loss", "warning", "high"))
    run.add_finding(Finding("initial_loss", "ok", "fine"))
    assert [finding.message for finding in run.findings] == ["fine"]
    assert run.finding("shuffling") is None


def test_findings_survive_json_with_nan_and_inf():
    trial = Trial([2.0, math.inf], [2.0, 0.5], helped=True)
    finding = Finding(
        "x", "error", "m", {"a": math.nan, "b": [1.0, math.inf]}, Remedy("do", "code", trial), "where", ("s",)
    )
    data = json.loads(json.dumps(finding.to_json(), allow_nan=False))
    assert data["evidence"] == {"a": None, "b": [1.0, None]}
    assert data["remedy"]["tried"]["without"] == [2.0, None]


def test_a_trial_says_what_happened():
    assert Trial([2.3, 2.29], [2.3, 0.412], helped=True).text == (
        "Tried on a copy: loss 2.3 → 0.412 in 1 step with it, 2.29 without it."
    )
    assert "no clear gain" in Trial([2.3, 2.2], [2.3, 2.3], helped=False).text


def test_html_shows_text_as_text():
    finding = Finding("<b>", "error", "<script>alert(1)</script>", remedy=Remedy("<i>", "a < b"))
    html = finding._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "a &lt; b" in html
