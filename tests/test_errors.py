import pytest

from nn_inspector.errors import describe_error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("no such axis"), "ValueError: no such axis"),
        (RuntimeError("\n first line \nsecond line"), "RuntimeError: first line"),
        (KeyError(), "KeyError"),
        (NotImplementedError("x" * 5000), f"NotImplementedError: {'x' * 200}..."),
    ],
)
def test_an_error_is_said_in_one_line(error, said):
    assert describe_error(error) == said
