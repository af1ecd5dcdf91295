"""The list of tests that take long: each of its functions is there."""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
NAMES = [line for line in (TOP / "tests" / "slow.txt").read_text().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("file", sorted({name.partition("::")[0] for name in NAMES}))
def test_what_is_named_slow_is_a_test(file):
    named = {re.split(r"::|\[", name)[1] for name in NAMES if name.startswith(f"{file}::")}
    assert named <= set(re.findall(r"^def (test_\w+)", (TOP / file).read_text(), re.MULTILINE))


def test_something_of_each_function_that_has_several_cases_is_quick():
    """A whole function is slow only where it has one case."""
    whole = [name for name in NAMES if "[" not in name]
    assert len(whole) == len(set(whole))
    assert not {name.partition("[")[0] for name in NAMES if "[" in name} & set(whole)
