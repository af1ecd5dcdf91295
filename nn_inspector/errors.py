"""What can go wrong, said so that the reader knows what to do next."""

from __future__ import annotations

_LINE = 200
"""So many letters of an error of others are shown."""


class InspectorError(Exception):
    """Anything nn_inspector refuses to do. The message says why and what to do instead."""


class ArgumentError(InspectorError, ValueError):
    """An argument is not what was expected.

    Args:
        argument: the name of the argument, as the caller wrote it.
        expected: what it should have been.
        got: what came, in words (see `describe`).
        advice: what to do, as one sentence.

    Example:
        >>> str(ArgumentError("model", expected="a torch.nn.Module", got="a list", advice="Pass the network."))
        'model: expected a torch.nn.Module, got a list. Pass the network.'
    """

    def __init__(self, argument: str, *, expected: str, got: str, advice: str) -> None:
        super().__init__(f"{argument}: expected {expected}, got {got}. {advice}")
        self.argument = argument


class RunFileError(InspectorError):
    """A run file cannot be read.

    Args:
        path: the file.
        expected: what it should have been.
        got: what came.
        advice: what to do, as one sentence.

    Example:
        >>> str(RunFileError("a.sqlite", expected="a run file", got="an empty file", advice="Wait for its first step."))
        'a.sqlite: expected a run file, got an empty file. Wait for its first step.'
    """

    def __init__(self, path: object, *, expected: str, got: str, advice: str) -> None:
        super().__init__(f"{path}: expected {expected}, got {got}. {advice}")
        self.path = path


class AmbiguousError(InspectorError):
    """Several objects fit and nothing says which one is meant."""


class ExperimentError(InspectorError):
    """An experiment on a copy could not be made; the message says why."""


class TrainingStopped(KeyboardInterrupt):
    """The user pressed Stop: raised at a step boundary, so that the training loop ends as it does on Interrupt.

    It is a `KeyboardInterrupt` because loops that swallow `Exception` must not swallow a stop.
    """

    def __init__(self, step: int) -> None:
        super().__init__(
            f"Training stopped after step {step}, as you asked. "
            "The model and the optimizer are as that step left them; run the cell again to go on."
        )
        self.step = step

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback: this is no error of the user's."""
        return [str(self)]


def describe(value: object) -> str:
    """Say in a few words what `value` is, for error messages.

    Example:
        >>> describe([1, 2])
        'a list of 2 items'
        >>> describe(None)
        'None'
    """
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__} itself"
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"{_with_article(type(value).__name__)} of shape {list(shape)} and type {dtype}"
    if isinstance(value, dict):
        keys = ", ".join(repr(key) for key in list(value)[:4])
        return f"a dict with the keys {keys}" if value else "an empty dict"
    if isinstance(value, list | tuple | set):
        return f"{_with_article(type(value).__name__)} of {len(value)} items"
    return f"{_with_article(type(value).__name__)}"


def describe_error(error: BaseException) -> str:
    r"""Say in one line what an error is, for messages: torch's own may run over a hundred lines.

    Example:
        >>> describe_error(ValueError("no such axis\nsee the documentation"))
        'ValueError: no such axis'
        >>> describe_error(KeyError())
        'KeyError'
    """
    name, lines = type(error).__name__, str(error).strip().splitlines()
    if not lines:
        return name
    first = lines[0].strip()
    return f"{name}: {first if len(first) <= _LINE else first[:_LINE].rstrip() + '...'}"


def _with_article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
