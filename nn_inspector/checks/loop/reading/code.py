"""Finds the source of what the user wrote: functions, methods, lambdas, cells of a notebook."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import linecache
import sys
import sysconfig
import textwrap
import types
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nn_inspector.history.metadata import notebook_cells

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True, slots=True)
class Code:
    """A piece of source, and what its names stand for.

    Attributes:
        name: of the function, or "cell 3".
        file: where it is written; a pseudo name for a cell.
        node: the function, or the whole cell.
        lines: of the file or cell; line numbers count from 1 in it.
        names: the variables that it sees from outside: closure, globals, builtins.
        owner: what a method is bound to, else None.
    """

    name: str
    file: str
    node: FunctionNode | ast.Module
    lines: Sequence[str]
    names: Mapping[str, Any] = field(repr=False)
    owner: object | None = None

    def line(self, number: int) -> str:
        """The text of a line, without its indentation."""
        return self.lines[number - 1].strip() if 0 < number <= len(self.lines) else ""


def code_of(function: Callable[..., Any]) -> Code | None:
    """The source of a function of the user's, or None where it cannot be read.

    Example:
        >>> code = code_of(code_of)
        >>> code.name, code.line(code.node.lineno)[:11]
        ('code_of', 'def code_of')
    """
    owner = getattr(function, "__self__", None)
    plain = inspect.unwrap(getattr(function, "__func__", function))
    if isinstance(plain, functools.partial):
        return code_of(plain.func)
    if not isinstance(plain, types.FunctionType):
        return None
    written = plain.__code__
    lines = linecache.getlines(written.co_filename, plain.__globals__)
    tree = _parse("".join(lines))
    node = _find(tree, written) if tree is not None else None
    if node is None:
        return None
    names = ChainMap(_closure(plain), plain.__globals__, vars(builtins))
    return Code(written.co_name, written.co_filename, node, lines, names, owner)


def cells_of_notebook() -> list[Code]:
    """The cells that ran since the latest `watch()`, in their order; empty outside a notebook."""
    cells = notebook_cells()
    watched = [index for index, cell in enumerate(cells) if "watch(" in cell or "%nn_watch" in cell]
    main: Any = sys.modules.get("__main__")
    names = ChainMap(vars(main) if main is not None else {}, vars(builtins))
    found = []
    for number, cell in list(enumerate(cells, 1))[watched[-1] if watched else 0 :]:
        text = _without_magics(cell)
        tree = _parse(text)
        if tree is not None:
            found.append(Code(f"cell {number}", f"cell {number}", tree, text.splitlines(), names))
    return found


def is_users(function: object, *, beside: str = "__main__") -> bool:
    """Whether a function or class was written for this training: it is in the same package as `beside`, or in `__main__`."""
    home = str(getattr(function, "__module__", "") or "")
    package = home.partition(".")[0]
    if package in ("torch", "nn_inspector"):
        return False
    if package in ("__main__", beside.partition(".")[0]):
        return True
    file = getattr(sys.modules.get(home), "__file__", None)
    return bool(file) and not _is_installed(str(file))


def _is_installed(file: str) -> bool:
    """Whether a file belongs to Python or to an installed package."""
    parts = Path(file).parts
    return "site-packages" in parts or "dist-packages" in parts or file.startswith(sysconfig.get_path("stdlib"))


@functools.lru_cache(maxsize=32)
def _parse(text: str) -> ast.Module | None:
    if not text.strip():
        return None
    try:
        return ast.parse(textwrap.dedent(text))
    except (SyntaxError, ValueError):
        return None


def _find(tree: ast.Module, written: types.CodeType) -> FunctionNode | None:
    """The function whose code begins at this line; of several lambdas in a line the one with these arguments."""
    arguments = list(written.co_varnames[: written.co_argcount])
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if first == written.co_firstlineno and node.name == written.co_name:
                return node
        elif isinstance(node, ast.Lambda) and written.co_name == "<lambda>" and node.lineno == written.co_firstlineno:
            used = {one.id for one in ast.walk(node.body) if isinstance(one, ast.Name)}
            free = {*written.co_names, *written.co_freevars, *written.co_varnames}
            if [one.arg for one in node.args.args] == arguments and used <= free:
                return node
    return None


def _closure(function: types.FunctionType) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            held[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return held


def _without_magics(cell: str) -> str:
    """Lines for IPython alone give way to empty ones, so that the others keep their numbers."""
    lines = cell.splitlines()
    if lines and lines[0].lstrip().startswith("%%") and not lines[0].lstrip().startswith(("%%time", "%%capture")):
        return ""
    return "\n".join("" if line.lstrip().startswith(("%", "!", "?")) else line for line in lines)
