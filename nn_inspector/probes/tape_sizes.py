"""Which numbers among the arguments of a call stand for how many items the batch has."""

from __future__ import annotations

from typing import Any

from nn_inspector.probes.tape import Size, Slice, transform

_SHAPES = frozenset({"view", "reshape", "expand", "repeat", "tile", "broadcast_to", "unflatten"})
"""A number of items stands in front here: `x.view(64, -1)`."""

_MAKERS = frozenset(
    {
        "zeros", "ones", "full", "empty", "rand", "randn", "randint", "arange", "randperm", "eye", "tri", "linspace",
        "new_zeros", "new_ones", "new_full", "new_empty",
    }
)  # fmt: skip
"""Functions that make tensors of a size."""

_SMALL = 8
"""Half of so few items is no telling number."""

SCALES = frozenset({"mul", "div", "truediv", "rmul", "mul_", "div_", "imul", "itruediv"})
"""Products and quotients."""


def with_sizes(name: str, args: tuple[Any, ...], items: int, *, asked: bool) -> tuple[Any, ...]:
    """The arguments of a call with numbers that are the number of items marked as such.

    The first number of a shape is taken to be it if it is equal. Others (a divisor, the end of a slice, twice and half
    the number) are only where the loop asked for the size of something in the batch.

    Args:
        name: of the function, see `function_name`.
        args: its arguments as data.
        items: how many items the batch has.
        asked: whether the loop asked for it.

    Example:
        >>> with_sizes("view", (64, -1), 64, asked=False)
        (Size(times=1, parts=1), -1)
        >>> with_sizes("one_hot", (10,), 10, asked=True)
        (10,)
    """
    if items < 2:
        return args
    known = {items: Size()}
    if asked:
        known |= {items // 2: Size(1, 2)} if items % 2 == 0 and items > _SMALL else {}
        known |= {2 * items: Size(2), items: Size()}
    marked = args
    if name in _SHAPES:
        marked = _first(args, {items: Size()}, only_in_front=True)
    elif name in _MAKERS:
        marked = _of_maker(name, args, known, only_in_front=not asked)
    elif asked and name in SCALES:
        marked = tuple(known.get(part, part) if _is_number(part) else part for part in args)
    elif asked and name in ("getitem", "setitem"):
        marked = tuple(_in_slices(part, known) for part in args)
    return marked


def _of_maker(name: str, args: tuple[Any, ...], known: dict[int, Size], *, only_in_front: bool) -> tuple[Any, ...]:
    """With a size marked in the shape, if there is one, or among all numbers; exactly the number of items if it is there."""
    if name == "arange":
        return tuple(known.get(part, part) if _is_number(part) else part for part in args)
    shapes = [place for place, part in enumerate(args) if isinstance(part, tuple | list)]
    parts = args[shapes[-1]] if shapes else args
    for number in sorted(known, key=lambda one: known[one] != Size()):  # exactly the number of items first
        marked = _first(parts, {number: known[number]}, only_in_front=only_in_front)
        if marked != parts:
            return (*args[: shapes[-1]], marked, *args[shapes[-1] + 1 :]) if shapes else tuple(marked)
    return args


def _first(args: Any, known: dict[int, Size], *, only_in_front: bool) -> Any:
    """With the first number that is known marked; shapes may be given one by one or as a tuple."""
    done = False
    place = 0

    def mark(part: Any) -> Any:
        nonlocal done, place
        if not _is_number(part):
            return part
        place += 1
        if done or (only_in_front and place > 1) or part not in known:
            return part
        done = True
        return known[part]

    return transform(args, mark)


def _in_slices(part: Any, known: dict[int, Size]) -> Any:
    if isinstance(part, Slice):
        start, stop = (known.get(end, end) if _is_number(end) else end for end in (part.start, part.stop))
        return Slice(start, stop, part.step)
    return tuple(_in_slices(one, known) for one in part) if isinstance(part, tuple) else part


def _is_number(part: Any) -> bool:
    return isinstance(part, int) and not isinstance(part, bool)
