"""Evaluates expressions of a loop as far as they can be known, and notes what they do."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from nn_inspector.checks.loop.reading.code import Code
from nn_inspector.checks.loop.reading.events import Event, Kind, Loop, Term, place_of
from nn_inspector.checks.loop.reading.values import (
    NOTHING,
    SOMETHING,
    UNKNOWN,
    LocalFunction,
    Role,
    Value,
    attribute,
    item,
    lift,
    role_of_name,
    union,
)
from nn_inspector.training import Training

MOST_EVENTS = 5000
"""A loop with more is not followed further."""

_FACTS = frozenset({"shape", "dtype", "device", "ndim", "grad_fn", "requires_grad", "is_cuda", "training", "names"})
_ROLES: Mapping[str, Role] = {"grad": "gradient", "param_groups": "parameters"}


class TooLong(Exception):  # noqa: N818 - it ends the reading, and is no error
    """There is more to read than is worth it."""


@dataclass
class Frame:
    """A function that is being read.

    Attributes:
        code: its source.
        locals: its own variables.
        around: the function that it is defined in, if it is one of the code that is read.
        returned: the values of its return statements so far.
        attributes: what attributes were set to, by their text.
    """

    code: Code
    locals: dict[str, Value]
    around: Frame | None = None
    returned: list[Value] = field(default_factory=list)
    attributes: dict[str, Value] = field(default_factory=dict)


class Expressions:
    """What an expression stands for. Subclasses follow calls and statements.

    Args:
        training: the user's objects, to know them again.
        inside: whether the forward passes of modules that the user wrote are followed as well.
    """

    def __init__(self, training: Training, *, inside: bool = False) -> None:
        self.training = training
        self.inside = inside
        self.events: list[Event] = []
        self.loops: list[Loop] = []
        self.conditions: list[str] = []
        self.no_grad = False
        self.frames: list[Frame] = []
        self.main_file = ""

    @property
    def frame(self) -> Frame:
        """The function that is being read now."""
        return self.frames[-1]

    def emit(
        self,
        kind: Kind,
        node: ast.AST,
        *,
        on: str = "",
        target: Any = None,
        terms: tuple[Term, ...] = (),
        **options: Any,
    ) -> None:
        """Note an event."""
        if len(self.events) >= MOST_EVENTS:
            raise TooLong
        code, line = self.frame.code, getattr(node, "lineno", 0)
        self.events.append(
            Event(
                kind=kind,
                line=line,
                code=code.line(line),
                file=self.file,
                on=on,
                target=target,
                loops=tuple(self.loops),
                conditions=tuple(self.conditions),
                no_grad=self.no_grad,
                within=tuple(frame.code.name for frame in self.frames[1:]),
                options=MappingProxyType(options),
                terms=terms,
            )
        )

    @contextmanager
    def during(self, loop: Loop) -> Iterator[None]:
        """Within a loop."""
        before, self.conditions = self.conditions, []
        self.loops.append(loop)
        yield
        self.loops.pop()
        self.conditions = before

    @contextmanager
    def under(self, condition: str | None) -> Iterator[None]:
        """Under a condition, if it is one."""
        if condition is not None:
            self.conditions.append(condition)
        yield
        if condition is not None:
            self.conditions.pop()

    def value(self, node: ast.expr) -> Value:
        """What an expression stands for; what it does is noted."""
        visit: Callable[[Any], Value] | None = getattr(self, f"_value_{type(node).__name__.lower()}", None)
        if visit is not None:
            return visit(node)
        return union([self.value(part) for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)])

    def _value_constant(self, node: ast.Constant) -> Value:
        return Value(known=node.value)

    def _value_name(self, node: ast.Name) -> Value:
        frame: Frame | None = self.frame
        while frame is not None:
            if node.id in frame.locals:
                return frame.locals[node.id]
            frame = frame.around
        if node.id in self.frame.code.names:
            return lift(self.frame.code.names[node.id])
        role = role_of_name(node.id)
        return Value(
            role=role, live=frozenset() if role in ("optimizer", "scheduler", "loader") else frozenset({SOMETHING})
        )

    def _value_attribute(self, node: ast.Attribute) -> Value:
        text = ast.unparse(node)
        if text in self.frame.attributes:
            return self.frame.attributes[text]
        owner = self.value(node.value)
        if node.attr == "data" and (owner.computed or owner.alias):
            return self._data(node, owner)
        if node.attr in _FACTS or node.attr in _ROLES:
            return Value(role=_ROLES.get(node.attr, ""))
        found = attribute(owner.known, node.attr) if owner.is_known else UNKNOWN
        if found is not UNKNOWN:
            return lift(found)
        if owner.is_known and not isinstance(owner.known, torch.Tensor):
            return self._of_unknown(text)
        return replace(owner, known=UNKNOWN, role="", parts=(), function=None)

    def _data(self, node: ast.Attribute, owner: Value) -> Value:
        """`x.data`: the numbers without the graph."""
        if owner.role == "parameter":
            return replace(owner.without_gradient(), role="weights")
        if owner.live:
            self.emit("cut", node, on=ast.unparse(node.value), target=owner, how="data")
        return owner.without_gradient()

    def _of_unknown(self, text: str) -> Value:
        """An attribute that its owner does not have yet, or that is computed when it is asked for."""
        role = role_of_name(text)
        return Value(role=role, live=frozenset() if role else frozenset({SOMETHING}))

    def _value_subscript(self, node: ast.Subscript) -> Value:
        owner, index = self.value(node.value), self.value(node.slice)
        if owner.parts and isinstance(index.known, int) and -len(owner.parts) <= index.known < len(owner.parts):
            return owner.parts[index.known]
        if owner.is_known and index.is_known:
            found = item(owner.known, index.known)
            if found is not UNKNOWN:
                return lift(found)
        if owner.role == "parameters":
            return owner
        masked = isinstance(node.slice, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.List) or _is_many(index)
        return Value(
            known=owner.known if owner.alias == "stored" and not masked else UNKNOWN,
            live=owner.live,
            cut=owner.cut,
            alias="" if masked else owner.alias,
        )

    def _value_slice(self, node: ast.Slice) -> Value:
        for part in (node.lower, node.upper, node.step):
            if part is not None:
                self.value(part)
        return NOTHING

    def _value_tuple(self, node: ast.Tuple | ast.List) -> Value:
        parts = tuple(self.value(part) for part in node.elts)
        starred = any(isinstance(part, ast.Starred) for part in node.elts)
        return replace(union(parts), parts=() if starred else parts)

    _value_list = _value_tuple

    def _value_compare(self, node: ast.Compare) -> Value:
        for part in (node.left, *node.comparators):
            self.value(part)
        return NOTHING

    def _value_lambda(self, node: ast.Lambda) -> Value:
        return Value(function=LocalFunction(node, self.frame))

    def _value_unaryop(self, node: ast.UnaryOp) -> Value:
        inner = self.value(node.operand)
        if isinstance(node.op, ast.USub):
            if isinstance(inner.known, int | float):
                return Value(known=-inner.known)
            return _negated(inner)
        return NOTHING if isinstance(node.op, ast.Not) else inner

    def _value_binop(self, node: ast.BinOp) -> Value:
        return self.combine(node.op, self.value(node.left), self.value(node.right), (node.left, node.right), node)

    def combine(
        self, operator: ast.operator, left: Value, right: Value, written: tuple[ast.expr, ast.expr], node: ast.AST
    ) -> Value:
        """The value of `left operator right`."""
        joined = union([left, right])
        if isinstance(operator, ast.Add | ast.Sub):
            if isinstance(operator, ast.Sub):
                right = _negated(right)
            terms = (*self.terms_of(left, written[0], node), *self.terms_of(right, written[1], node))
            return replace(joined, terms=terms)
        if isinstance(operator, ast.Mult | ast.Div):
            for factor, other in ((left, right), (right, left)):
                if not other.computed and (other is right or isinstance(operator, ast.Mult)):
                    signed = _negated(factor) if _is_below_zero(other) else factor
                    return replace(joined, sign=signed.sign, is_loss=signed.is_loss, terms=signed.terms)
        return joined

    def _value_namedexpr(self, node: ast.NamedExpr) -> Value:
        value = self.value(node.value)
        self.frame.locals[node.target.id] = replace(value, settled=False)
        return value

    def terms_of(self, value: Value, written: ast.expr, node: ast.AST) -> tuple[Term, ...]:
        """The summands of a value that is written so, within a node; itself where it is none."""
        if value.terms or not value.computed:
            return value.terms
        place = value.place or self.place_of(node)
        return (Term(ast.unparse(written), value.live, value.cut, place, value.sign, value.is_loss),)

    def place_of(self, node: ast.AST) -> str:
        """Where a node stands, for a person."""
        line = getattr(node, "lineno", 0)
        return place_of(line, self.frame.code.line(line), self.file)

    @property
    def file(self) -> str:
        """The file that is being read, if it is not that of the loop."""
        file = self.frame.code.file
        return "" if file == self.main_file else file.replace("\\", "/").rpartition("/")[2]

    def truth(self, node: ast.expr) -> bool | None:
        """Whether a condition holds, where that was settled before the code ran."""
        if isinstance(node, ast.Constant):
            return bool(node.value)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.truth(node.operand)
            return None if inner is None else not inner
        if isinstance(node, ast.Attribute) and node.attr == "training":
            return self._mode_of(self.value(node.value))
        if isinstance(node, ast.Name | ast.Attribute):
            return self._settled(node, bool)
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Is | ast.IsNot) and _is_none(node.comparators):
            negate = isinstance(node.ops[0], ast.IsNot)
            return self._settled(node.left, lambda found: (found is None) is not negate, any_kind=True)
        return None

    def _mode_of(self, owner: Value) -> bool | None:
        """Whether the last train() or eval() of a network put it into training mode; None if there is none that surely ran."""
        if not isinstance(owner.known, nn.Module):
            return None
        calls = [event for event in self.events if event.kind in ("train", "eval") and event.target is owner.known]
        surely = calls and calls[-1].conditions == tuple(self.conditions[: len(calls[-1].conditions)])
        return calls[-1].kind == "train" if surely else None

    def _settled(self, node: ast.expr, judge: Callable[[Any], bool], *, any_kind: bool = False) -> bool | None:
        if not isinstance(node, ast.Name | ast.Attribute):
            return None
        value = self.value(node)
        plain = value.known is None or isinstance(value.known, bool | int | float | str)
        return judge(value.known) if value.settled and value.is_known and (plain or any_kind) else None


def _negated(value: Value) -> Value:
    return replace(
        value,
        known=UNKNOWN,
        alias="",
        sign=-value.sign,
        terms=tuple(replace(term, sign=-term.sign) for term in value.terms),
    )


def _is_none(compared: list[ast.expr]) -> bool:
    return len(compared) == 1 and isinstance(compared[0], ast.Constant) and compared[0].value is None


def _is_below_zero(value: Value) -> bool:
    return isinstance(value.known, int | float) and not isinstance(value.known, bool) and value.known < 0


def _is_many(index: Value) -> bool:
    """Whether an index is a list or a tensor of them: what it selects is a copy."""
    return isinstance(index.known, list | torch.Tensor) and getattr(index.known, "ndim", 1) > 0
