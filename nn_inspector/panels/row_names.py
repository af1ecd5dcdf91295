"""Names of rows that stand for several layers: "h.0" to "h.3" together, or a few that have no numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

TO = "\N{EN DASH}"
"""Between the first and the last number of a range: no module has it in its name."""

AND = ", "

_NUMBERED = re.compile(rf"(.*?)([0-9]+)(?:{TO}([0-9]+))?", re.DOTALL)


def numbered(name: str) -> tuple[str, int] | None:
    """What stands before the number at the end of a name, and the number; None if there is none.

    Example:
        >>> numbered("encoder.layer12"), numbered("encoder.0"), numbered("head")
        (('encoder.layer', 12), ('encoder.', 0), None)
    """
    found = _NUMBERED.fullmatch(name)
    return (found[1], int(found[2])) if found is not None and found[3] is None else None


def name_together(siblings: Sequence[str]) -> str:
    """The name of several modules of one block: a range if all are numbered alike and ascend, else a list.

    Example:
        >>> name_together(["h.0", "h.1", "h.2"]).replace(TO, "-"), name_together(["mlp.up", "mlp.down"])
        ('h.0-2', 'mlp.up, down')
    """
    numbers = [numbered(name) for name in siblings]
    stems = {number[0] for number in numbers if number is not None}
    ascending = [number[1] for number in numbers if number is not None]
    if None not in numbers and len(stems) == 1 and ascending == sorted(set(ascending)):
        return f"{siblings[0]}{TO}{ascending[-1]}"
    parent = parent_of(siblings[0])
    return parent + AND.join(name.removeprefix(parent) for name in siblings)


def parent_of(name: str) -> str:
    """The block that a module is in, with its point; nothing for the outermost.

    Example:
        >>> parent_of("encoder.layers.0"), parent_of("encoder")
        ('encoder.layers.', '')
    """
    return name[: name.rfind(".") + 1]


def meet(one: str, other: str) -> bool:
    """Whether two names stand for anything in common: a layer, a block of layers, or several together.

    Example:
        >>> meet("h.2.mlp", f"h.0{TO}3"), meet(f"h.2{TO}5", f"h.0{TO}3"), meet("h.12", "h.1")
        (True, True, False)
    """
    return any(inside(name, other) for name in ends(one)) or any(inside(name, one) for name in ends(other))


def ends(name: str) -> list[str]:
    """The first and the last module of a range, all of a list, or the one that there is.

    Example:
        >>> ends(f"h.0{TO}3"), ends("mlp.up, down"), ends("head")
        (['h.0', 'h.3'], ['mlp.up', 'mlp.down'], ['head'])
    """
    found = _NUMBERED.fullmatch(name)
    if found is not None and found[3] is not None:
        return [found[1] + found[2], found[1] + found[3]]
    parent = parent_of(name)
    return [parent + part for part in name.removeprefix(parent).split(AND)]


def inside(module: str, name: str) -> bool:
    """Whether a module is one of those that a name stands for, or inside of one.

    Example:
        >>> inside("h.2.mlp", f"h.0{TO}3"), inside("h", "h.2")
        (True, False)
    """
    found = _NUMBERED.fullmatch(name)
    if found is None or found[3] is None:
        return any(module == one or module.startswith(f"{one}.") for one in ends(name))
    level = numbered(".".join(module.split(".")[: name.count(".") + 1]))
    return level is not None and level[0] == found[1] and int(found[2]) <= level[1] <= int(found[3])
