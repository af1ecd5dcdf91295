import json
import math

import pytest
import torch
from torch import nn

from benchmarks.overhead import __main__ as command
from benchmarks.overhead import measure
from benchmarks.overhead.ours import NOTHING, OURS
from benchmarks.overhead.peers import PEERS
from benchmarks.overhead.problems import CLASSES, PROBLEMS, Problem
from benchmarks.overhead.table import HEADER
from benchmarks.overhead.variant import Variant


def tiny_network():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, CLASSES))


TINY = Problem("tiny", "Tiny network", tiny_network, lambda generator: torch.randn(4, 6, generator=generator))
MISSING = Variant("missing", "every 1", NOTHING.attach, package="no-such-package-anywhere")


@pytest.fixture
def tiny(monkeypatch):
    """One tiny problem, short blocks, and no peer but one that is not installed."""
    variants = {variant.name: variant for variant in (NOTHING, *OURS, MISSING)}
    monkeypatch.setattr(command, "PROBLEMS", {"tiny": TINY})
    monkeypatch.setattr(command, "VARIANTS", variants)
    monkeypatch.setattr(measure, "BLOCK", 0.001)
    return list(variants)


def rows_of(markdown):
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_has_a_row_for_each_variant(tiny, tmp_path, capsys):
    file = tmp_path / "numbers.json"
    threads = torch.get_num_threads()
    assert command.main(["--pairs", "1", "--json", str(file)]) == 0
    assert torch.get_num_threads() == threads

    header, _, *rows = rows_of(capsys.readouterr().out)
    assert tuple(header) == HEADER
    assert [row[0] for row in rows] == tiny
    assert rows[-1][3] == "not installed"

    results = {result["variant"]: result for result in json.loads(file.read_text())["results"]}
    assert list(results) == tiny
    measured = {name: result for name, result in results.items() if "ratio" in result}
    assert {"nothing", "nn_inspector", "nn_inspector-1", "nn_inspector-100"} <= measured.keys()
    for result in measured.values():
        assert math.isfinite(result["ratio"])
        assert result["ratio"] > 0
        assert result["step_seconds"] > 0
        assert result["parameters"] == sum(p.numel() for p in tiny_network().parameters())
    assert measured["nothing"]["quantities"] == []
    assert {"loss", "gradient_norm", "activation_mean"} <= set(measured["nn_inspector"]["quantities"])
    assert measured["nn_inspector-1"]["measured_share"] == 1
    assert measured["nn_inspector-10"]["measured_share"] == pytest.approx(0.1)


def test_a_block_holds_whole_periods(tiny):
    for variant in (NOTHING, *OURS, *PEERS):
        if variant.unavailable is None:
            block = measure._block(variant, step_seconds=0.0003)
            assert block % variant.period == 0
            assert block >= variant.shortest_block


def test_a_variant_that_fails_is_a_row_and_a_failure(tiny, monkeypatch, capsys):
    def broken(loop, folder):
        raise RuntimeError("no such thing")

    monkeypatch.setattr(command, "VARIANTS", {"broken": Variant("broken", "every 1", broken)})
    assert command.main(["--variants", "broken", "--pairs", "1"]) == 1
    assert "failed: RuntimeError: no such thing" in capsys.readouterr().out


def test_the_networks_are_what_the_table_says():
    networks = {name: problem.network() for name, problem in PROBLEMS.items()}
    assert sum(p.numel() for p in networks["mlp"].parameters()) == pytest.approx(270_000, rel=0.01)
    assert sum(isinstance(module, nn.Conv2d) for module in networks["resnet"].modules()) == 9
    assert any(isinstance(module, nn.LSTM) for module in networks["lstm"].modules())
    assert sum(isinstance(module, nn.TransformerEncoderLayer) for module in networks["transformer"].modules()) == 4
