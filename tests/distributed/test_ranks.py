"""Several processes train one model: what they measure together is what one process measures on the whole batch."""

import multiprocessing
import os
import socket
import traceback

import numpy as np
import pytest
import torch.distributed.fsdp

from tests.distributed import workers

WORLD = int(os.environ.get("NNI_PROCESSES", "2"))
PATIENCE = 120


def _work(work, rank, world, port, arguments, results):
    try:
        workers.join(rank, world, port)
        results.put((rank, work(rank, world, *arguments), None))
    except BaseException:
        results.put((rank, None, traceback.format_exc()))
        raise


def processes(work, *arguments, expect=None):
    """Run `work` in WORLD processes; returns what those in `expect` returned, by rank."""
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.distributed.workers"])  # torch is imported once
    results = context.Queue()
    children = [
        context.Process(target=_work, args=(work, rank, WORLD, port, arguments, results), daemon=True)
        for rank in range(WORLD)
    ]
    for child in children:
        child.start()
    found = {}
    for _ in expect if expect is not None else range(WORLD):
        rank, value, error = results.get(timeout=PATIENCE)
        assert error is None, f"rank {rank}: {error}"
        found[rank] = value
    for child in children:
        child.join(PATIENCE)
        assert child.exitcode is not None, "a process hangs"
    return found


def assert_alike(found, expected):
    assert found.keys() == expected.keys()
    for key, (steps, values) in expected.items():
        if key[0] in workers.ON_CHANGE:
            assert found[key][0] == steps
            assert np.array_equal(found[key][1], values)
            continue
        known = dict(zip(*found[key], strict=True))
        assert steps[0] in known, key
        compared = [(known[step], value) for step, value in zip(steps, values, strict=True) if step in known]
        assert len(compared) > 20, key
        off = 1 if key[0].endswith("_histogram") else 1e-6  # rounding may carry an element over the end of its bin
        for merged, single in compared:
            assert merged == pytest.approx(single, rel=1e-4, abs=off, nan_ok=True), (key, merged, single)


@pytest.mark.parametrize("kind", workers.MODELS)
def test_merged_statistics_are_those_of_one_process(kind):
    """Of every quantity, at every step from the first."""
    expected = workers.alone(kind)
    assert {"activation_gradient_norm", "prediction_spread", "target_top_share", "worst_items"} <= {
        q for q, _ in expected
    }
    found = processes(workers.with_every_probe, kind)
    for rank in range(WORLD):
        measured, problems, _ = found[rank]
        assert problems == []
        assert_alike(measured, expected)


def test_the_training_is_untouched():
    with_us, without = processes(workers.together), processes(workers.together, 1, workers.only_nobody)
    for rank in range(WORLD):
        assert all(np.array_equal(a, b) for a, b in zip(with_us[rank][2], without[rank][2], strict=True))


def test_all_measure_the_same_steps_whatever_each_has_to_spend():
    found = processes(workers.as_often_as_the_budget_allows)
    steps = [found[rank][0]["activation_mean", "0"][0] for rank in range(WORLD)]
    assert all(other == steps[0] for other in steps)
    losses = [dict(zip(*found[rank][0]["loss", "train"], strict=True)) for rank in range(WORLD)]
    together = range(steps[0][-1] + 1)
    assert len(together) >= workers.STEPS - 10
    assert all(other[step] == losses[0][step] for other in losses for step in together)


def test_losses_are_known_soon_where_hardly_a_step_is_measured():
    found = processes(workers.sparsely)
    for rank in range(WORLD):
        steps, losses, accuracy = found[rank]
        assert len(steps) > 50, "600 steps were made"
        common = min(len(steps), len(found[0][0]))
        assert np.array_equal(losses[:common], found[0][1][:common]), "they are those of all processes"
        assert accuracy == rank, "a number of one's own waits for nobody"


def test_where_not_all_fits_into_an_exchange_the_losses_do_and_it_is_said():
    expected = workers.alone()
    found = processes(workers.more_than_is_exchanged)
    for rank in range(WORLD):
        measured, problems, _ = found[rank]
        assert [problem.startswith("One step brings ") for problem in problems] == [True], problems
        assert_alike({("loss", "train"): measured["loss", "train"]}, {("loss", "train"): expected["loss", "train"]})
        assert len(measured["activation_mean", "0"][0]) == workers.STEPS


def test_a_process_that_does_not_watch_is_said():
    measured, problems, _ = processes(workers.only_rank_0_watches)[0]
    assert len(problems) == 1
    assert "Only this process's share of the data is measured" in problems[0]
    assert len(measured["loss", "train"][0]) == workers.STEPS


@pytest.mark.parametrize("after", [2, 15], ids=["before they meet", "while they merge"])
@pytest.mark.parametrize("dying", [0, 1], ids=["rank 0", "rank 1"])
def test_a_process_that_dies_does_not_hang_the_others(dying, after):
    """Be it the one that keeps the store."""
    others = [rank for rank in range(WORLD) if rank != dying]
    for steps, problems in processes(workers.one_dies, dying, after, expect=others).values():
        assert steps == workers.STEPS
        assert len(problems) == 1
        assert "only this process's share of the data is measured" in problems[0].lower(), problems


def test_models_that_are_not_put_together_are_measured_apart_and_that_is_said():
    for problems in processes(workers.apart).values():
        assert [problem.split(":")[0] for problem in problems] == [
            f"{WORLD} processes run, and the model is no DistributedDataParallel"
        ]


def test_rank_0_writes(tmp_path):
    found = processes(workers.writes, str(tmp_path))
    assert found[0].endswith("shared.sqlite")
    assert all(found[rank] is None for rank in range(1, WORLD))
    assert len(list(tmp_path.glob("*.sqlite"))) == 1


@pytest.mark.skipif(not hasattr(torch.distributed.fsdp, "fully_shard"), reason="PyTorch 2.6 or newer has it")
def test_sharded_parameters_are_measured_by_their_parts_and_that_is_said():
    with_us, without = processes(workers.sharded, True), processes(workers.sharded, False)
    for rank in range(WORLD):
        measured, problems, weights, parts = with_us[rank]
        assert all(np.array_equal(a, b) for a, b in zip(weights, without[rank][2], strict=True))
        assert [problem.startswith("The parameters are sharded") for problem in problems] == [True]
        assert len(measured["loss", "train"][0]) == workers.STEPS
        for name, norm in parts.items():
            assert measured["gradient_norm", name][1][-1] == pytest.approx(norm, rel=1e-5)
