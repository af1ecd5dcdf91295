"""A loss for pairs that ranks them the other way round than the loop counts them as right."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.checks.loop.reading import Code, code_of, is_users, role_of_name
from nn_inspector.checks.loop.reading.events import place_of
from nn_inspector.checks.loop.source import codes_of
from nn_inspector.experiments import Start, isolated
from nn_inspector.probes import CallMode, LossCall
from nn_inspector.training import Training

Sides = frozenset[object]
"""What of a batch a value is made of: places with the names that they are given, or keys."""

_WHOLE = "the batch"

_Found = tuple[Any, Mapping[str, Sides], ast.stmt]

_RIGHT = re.compile(r"right|correct|good|(?<![a-z])(acc|auc|hits?|wins?|concord)|accuracy", re.IGNORECASE)
_WRONG = re.compile(r"wrong|incorrect|not_|err|viol|mask|hard|fail|bad|loss|dis", re.IGNORECASE)
_FUNCTIONS = 8


@dataclass(frozen=True, slots=True)
class Ranked:
    """One side of a pair that is to be above the other.

    Attributes:
        above, below: what of a batch they are made of.
        place: the line that says so.
    """

    above: Sides
    below: Sides
    place: str


@dataclass(frozen=True, slots=True)
class Backwards:
    """A loss and a count that contradict each other.

    Attributes:
        asked: the line of the loss.
        counted: the line that counts right pairs.
        share: of the pairs of a batch that the network ranks as the loss asks.
    """

    asked: str
    counted: str
    share: float


def ranked_backwards(subject: Subject) -> Backwards | None:
    """Whether the loss lifts one side of pairs, and the loop counts those as right where the other one is above.

    It is read from the source which parts of a batch both sides are made of. A loop that counts nothing, or where its name
    does not say that it counts what is right, is not judged: small may be good.

    Raises:
        ExperimentError: the loss cannot be computed on a copy.
    """
    codes = _codes(subject.training)
    counted = [one for code in codes for one in _counted(code)]
    asked = [one for code in codes for one in _asked(code)] if counted else []
    if not asked or subject.seconds <= 0:
        return None
    sign = _sign(subject)
    if sign is None:
        return None
    lifted, share = sign
    for one in asked:
        above, below = (one.above, one.below) if lifted else (one.below, one.above)
        turned = [other for other in counted if (other.above, other.below) == (below, above)]
        if turned and len(turned) == len([o for o in counted if {o.above, o.below} == {above, below}]):
            return Backwards(one.place, turned[0].place, share)
    return None


def _sign(subject: Subject) -> tuple[bool, float] | None:
    """Whether margin_ranking_loss lifts its first argument above the second, and the share of pairs where it is as asked."""
    calls: list[LossCall] = []
    with isolated(subject.training, start=Start()) as copied, torch.no_grad(), CallMode(calls.append):
        copied.loss(subject.batches()[0])
    if len(calls) != 1 or calls[0].name != "margin_ranking_loss":
        return None
    sign, first, second = calls[0].options.get("target"), calls[0].prediction, calls[0].target
    if not isinstance(sign, torch.Tensor) or len(sign.unique()) != 1 or first.numel() == 0:
        return None
    share = float(((first - second) * sign > 0).float().mean())
    return (bool(sign.flatten()[0] > 0), share) if bool(sign.any()) else None


def _asked(code: Code) -> Iterator[Ranked]:
    """Calls of a loss with two different sides and a third argument."""
    for call, sides, _ in _nodes(code, ast.Call):
        name = ast.unparse(call.func)
        arguments = [*call.args, *(word.value for word in call.keywords)]
        if len(arguments) < 3 or len(call.args) < 2 or not (role_of_name(name) == "loss" or "rank" in name.lower()):
            continue
        first, second = (_sides(one, sides) for one in call.args[:2])
        if _differ(first, second):
            yield Ranked(first, second, _place(code, call))


def _counted(code: Code) -> Iterator[Ranked]:
    """Comparisons of two different sides in statements that count what is right."""
    for compare, sides, statement in _nodes(code, ast.Compare):
        if len(compare.ops) != 1 or not isinstance(compare.ops[0], ast.Gt | ast.GtE | ast.Lt | ast.LtE):
            continue
        if not isinstance(statement, ast.Assign | ast.AugAssign | ast.Expr | ast.Return):
            continue
        around = ast.unparse(statement).replace(ast.unparse(compare), "")
        if not _RIGHT.search(around) or _WRONG.search(ast.unparse(statement)):
            continue
        left, right = _sides(compare.left, sides), _sides(compare.comparators[0], sides)
        above, below = (left, right) if isinstance(compare.ops[0], ast.Gt | ast.GtE) else (right, left)
        if _differ(left, right):
            yield Ranked(above, below, _place(code, compare))


def _differ(first: Sides, second: Sides) -> bool:
    return bool(first - second) and bool(second - first)


def _place(code: Code, node: ast.expr) -> str:
    return place_of(node.lineno, code.line(node.lineno))


def _nodes(code: Code, kind: type[Any]) -> Iterator[_Found]:
    """Nodes of a kind, in order, with what the names are made of where they stand, and the statement around."""
    body = code.node.body
    yield from _within(body if isinstance(body, list) else [], kind, {})


def _within(body: list[ast.stmt], kind: type[Any], known: dict[str, Sides]) -> Iterator[_Found]:
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        inner = [part for name in ("body", "orelse", "finalbody") for part in getattr(statement, name, [])]
        if isinstance(statement, ast.For):
            known |= _parts_of_batch(_without_count(statement))
        own = [node for node in ast.iter_child_nodes(statement) if node not in inner]
        for node in (one for part in own for one in ast.walk(part)):
            if isinstance(node, kind):
                yield node, known | _drawn_around(node, own), statement
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            known |= _assigned(statement.targets[0], statement.value, known)
        yield from _within(inner, kind, known)


def _drawn_around(node: ast.AST, parts: list[ast.AST]) -> dict[str, Sides]:
    """The batches that comprehensions around a node go through, such as `sum(... for batch in loader)`."""
    around = [
        one
        for part in parts
        for one in ast.walk(part)
        if isinstance(one, ast.GeneratorExp | ast.ListComp | ast.SetComp) and node in ast.walk(one)
    ]
    found: dict[str, Sides] = {}
    for one in around:
        for inner in one.generators:
            found |= _parts_of_batch(_without_count(inner))
    return found


def _without_count(loop: ast.For | ast.comprehension) -> ast.expr:
    counts = isinstance(loop.iter, ast.Call) and ast.unparse(loop.iter.func) == "enumerate"
    return loop.target.elts[1] if counts and isinstance(loop.target, ast.Tuple) else loop.target


def _parts_of_batch(target: ast.expr) -> dict[str, Sides]:
    """The names of a batch's parts, with their places: of two loops, both have to be the same."""
    if isinstance(target, ast.Tuple):
        return {
            one.id: frozenset({(place, one.id)}) for place, one in enumerate(target.elts) if isinstance(one, ast.Name)
        }
    return {target.id: frozenset({_WHOLE})} if isinstance(target, ast.Name) else {}


def _assigned(target: ast.expr, value: ast.expr, known: Mapping[str, Sides]) -> dict[str, Sides]:
    if isinstance(target, ast.Name):
        return {target.id: _sides(value, known)}
    if not isinstance(target, ast.Tuple):
        return {}
    if isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts):
        pairs = zip(target.elts, value.elts, strict=True)
        return {one.id: _sides(part, known) for one, part in pairs if isinstance(one, ast.Name)}
    made = _sides(value, known)
    if made == {_WHOLE}:
        return _parts_of_batch(target)
    return {one.id: made for one in target.elts if isinstance(one, ast.Name)}


def _sides(node: ast.expr, known: Mapping[str, Sides]) -> Sides:
    """The parts of a batch that an expression is made of."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and _WHOLE in _sides(node.value, known):
        return frozenset({node.slice.value})
    if isinstance(node, ast.Name):
        return known.get(node.id, frozenset())
    below = [one.value if isinstance(one, ast.keyword) else one for one in ast.iter_child_nodes(node)]
    parts = [_sides(one, known) for one in below if isinstance(one, ast.expr)]
    drawn = [_sides(one.iter, known) for one in below if isinstance(one, ast.comprehension)]
    return frozenset().union(*parts, *drawn)


def _codes(training: Training) -> list[Code]:
    """The loop, and functions of the user's that it calls."""
    found = codes_of(training)
    home = str(getattr(training.loop[0] if training.loop else None, "__module__", "__main__"))
    for code in found:
        if len(found) >= _FUNCTIONS:
            break
        called = {
            node.func.id
            for node in ast.walk(code.node)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        for name in sorted(called):
            function = code.names.get(name)
            other = code_of(function) if callable(function) and is_users(function, beside=home) else None
            if other is not None and all(other.node is not one.node for one in found):
                found.append(other)
    return found
