"""Each broken training misbehaves and its repaired twin learns, so that a check which says so is right."""

import inspect
import zlib

import pytest
import torch

from tests.scenes import all_faults

ALL = {entry.id: entry for entry in all_faults()}

FEW = 12


def evenly_chosen(names, count):
    """So many of the names, in the order of their checksums: no family stands beside itself."""
    ordered = sorted(names, key=lambda name: zlib.crc32(name.encode()))
    return [ordered[round(index * len(ordered) / count)] for index in range(count)]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", evenly_chosen(ALL, FEW))
def test_the_fault_shows(name):
    assert_the_fault_shows(ALL[name], seed=0)


@pytest.mark.suite
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ALL)
def test_the_fault_shows_from_every_seed(name, seed):
    assert_the_fault_shows(ALL[name], seed)


@pytest.mark.parametrize("repaired", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_its_loop_can_be_read(name, repaired):
    scene = ALL[name].build(repaired, 0)
    assert "for " in inspect.getsource(scene.loop)
    assert all(p.default is not p.empty for p in inspect.signature(scene.loop).parameters.values())


def assert_the_fault_shows(entry, seed):
    twin = entry.build(True, seed)
    twin.loop()
    assert twin.score() >= entry.learns
    assert twin.symptom is None or not twin.symptom()

    broken = entry.build(False, seed)
    broken.loop()
    if broken.symptom is not None:
        assert broken.symptom()
    else:
        assert not broken.score() >= entry.learns, "it learns although it is broken"
