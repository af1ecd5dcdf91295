import zlib

import pytest

from tests.scenes import APART, SEEN, all_faults, all_healthy, held_out

NAMES = [entry.id for entry in (*all_faults(), *all_healthy())]


@pytest.mark.parametrize("name", SEEN)
def test_what_was_seen_while_a_check_was_written_is_not_kept_apart(name):
    assert name in NAMES
    assert zlib.crc32(name.encode()) % APART == 0, "it need not be named"
    assert not held_out(name)


def test_about_one_in_five_is_kept_apart():
    apart = sum(map(held_out, NAMES))
    assert 0.15 < apart / len(NAMES) < 0.25
