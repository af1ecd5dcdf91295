"""The magics, and what `%load_ext nn_inspector` sets up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from nn_inspector import live
from nn_inspector.checks import catalog
from nn_inspector.errors import InspectorError
from nn_inspector.guide.find_objects import choose
from nn_inspector.history import Finding
from nn_inspector.inspector import Inspector
from nn_inspector.snippets import check_cell
from nn_inspector.views import open_view
from nn_inspector.watching import current_inspector, detach_all, watch

_NAMES = ("nn_watch", "nn_wizard", "nn_check", "nn_insert")

T = TypeVar("T")


@magics_class
class InspectorMagics(Magics):
    """%nn_watch, %nn_wizard, %nn_check NAME, %nn_insert NAME."""

    shell: Any

    @magic_arguments()
    @argument("--model", help="name of the model's variable, where there are several")
    @argument("--name", default="inspector", help="variable that takes the inspector (default: inspector)")
    @argument("--help", action="store_true", help="show this text")
    @line_magic
    def nn_watch(self, line: str) -> None:
        """Watch the training whose model, optimizer, loss and loaders are among the notebook's variables.

        It finds them by their types, says what it found, and puts the inspector into a variable.
        """
        options = _options(self.nn_watch, line)
        if options is None:
            return
        if not options.name.isidentifier():
            raise UsageError(
                f"--name: expected a name for a variable, got {options.name!r}. For example: --name inspector"
            )
        with_names = _or_usage_error(lambda: choose(self.shell.user_ns, model=options.model))
        print(f"{options.name} = {with_names.call()}")
        arguments = with_names.objects(self.shell.user_ns)
        self.shell.user_ns[options.name] = _or_usage_error(lambda: watch(**arguments))

    @magic_arguments()
    @argument("--help", action="store_true", help="show this text")
    @line_magic
    def nn_wizard(self, line: str) -> Any:
        """Open the debug wizard: the checklist, step by step, on your own model and data."""
        options = _options(self.nn_wizard, line)
        return open_view("wizard", current_inspector()) if options is not None else None

    @magic_arguments()
    @argument("check", nargs="?", help="name of the check, for example initial_loss")
    @argument("--help", action="store_true", help="show this text")
    @line_magic
    def nn_check(self, line: str) -> Finding | None:
        """Make one check and show its finding.

        What is not watched yet is found among the notebook's variables.
        """
        options = _options(self.nn_check, line)
        if options is None:
            return None
        name = _named(options.check)
        return _or_usage_error(lambda: self._inspector().check(name))

    @magic_arguments()
    @argument("check", nargs="?", help="name of the check, for example initial_loss")
    @argument("--help", action="store_true", help="show this text")
    @line_magic
    def nn_insert(self, line: str) -> None:
        """Put a check into the notebook as the next cell."""
        options = _options(self.nn_insert, line)
        if options is not None:
            name = _named(options.check)
            source = _or_usage_error(lambda: check_cell(name, current_inspector(), self.shell.user_ns))
            self.shell.set_next_input(source, replace=False)

    def _inspector(self) -> Inspector:
        variables = [value for value in self.shell.user_ns.values() if isinstance(value, Inspector)]
        known = current_inspector() or (variables[-1] if variables else None)
        return known or watch(**choose(self.shell.user_ns).objects(self.shell.user_ns), show=False)


def load(shell: Any) -> None:
    """Register the magics and connect to the lab extension."""
    shell.register_magics(InspectorMagics)
    live.connect()


def unload(shell: Any) -> None:
    """Take out everything that `load` and the views put in."""
    for name in _NAMES:
        shell.magics_manager.magics["line"].pop(name, None)
    shell.magics_manager.registry.pop(InspectorMagics.__name__, None)
    detach_all()
    live.disconnect()


def _options(magic: Any, line: str) -> Any:
    """The parsed options, or None after `--help` was printed."""
    options = parse_argstring(magic, line)
    if options.help:
        print(magic.parser.format_help().removeprefix("::").strip())
        return None
    return options


def _named(check: str | None) -> str:
    if check is None:
        raise UsageError(
            f"Name a check, for example %nn_check shuffling. There are: {', '.join(i.name for i in catalog())}."
        )
    return check


def _or_usage_error(work: Callable[[], T]) -> T:
    """Show an error of ours as one line, without a traceback."""
    try:
        return work()
    except InspectorError as error:
        raise UsageError(str(error)) from error
