"""Follows calls: of networks and losses, and into the functions of the user's."""

from __future__ import annotations

import ast
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from nn_inspector.checks.loop.reading.code import Code, code_of, is_users
from nn_inspector.checks.loop.reading.expressions import Expressions, Frame
from nn_inspector.checks.loop.reading.values import (
    NOTHING,
    SOMETHING,
    UNKNOWN,
    Held,
    Value,
    attribute,
    lift,
    role_of,
    role_of_name,
    union,
)
from nn_inspector.probes.loss_calls import LOSS_FUNCTIONS

DEEPEST = 6
"""So many functions of the user's are followed into one another."""

_SHAPED = frozenset(
    [
        "to",
        "view",
        "reshape",
        "flatten",
        "squeeze",
        "unsqueeze",
        "permute",
        "transpose",
        "t",
        "float",
        "double",
        "half",
        "bfloat16",
        "long",
        "int",
        "cpu",
        "cuda",
        "type",
        "expand",
        "narrow",
        "select",
        "view_as",
        "swapaxes",
        "pin_memory",
    ]
)
"""Methods that may return the same memory."""

_SAME_TERMS = frozenset(
    ["mean", "sum", "nanmean", "nansum", "clone", "contiguous", "squeeze", "to", "float", "double", "scale"]
)
"""Methods of a loss after which it is made of the same summands."""


@dataclass(frozen=True)
class Call:
    """A call, with what is known of its parts.

    Attributes:
        node: the call.
        name: the last part of what is called: "step" of `self.optimizer.step`.
        on: what stands before that: "self.optimizer"; "" if nothing does.
        receiver: the value of that.
        callee: the value of what is called.
        args, kwargs: the values of its arguments.
    """

    node: ast.Call
    name: str
    on: str
    receiver: Value
    callee: Value
    args: tuple[Value, ...]
    kwargs: Mapping[str, Value]

    @property
    def all(self) -> tuple[Value, ...]:
        """All arguments."""
        return (*self.args, *self.kwargs.values())

    def argument(self, position: int, name: str) -> Value:
        """One argument, by position or name; NOTHING if it is not given."""
        return self.kwargs.get(name, self.args[position] if position < len(self.args) else NOTHING)

    def written(self, position: int, name: str) -> ast.expr | None:
        """How an argument is written; None if it is not given."""
        named = next((one.value for one in self.node.keywords if one.arg == name), None)
        return named if named is not None else (self.node.args[position] if position < len(self.node.args) else None)


class Calls(Expressions):
    """What calls do. A subclass knows statements, and what certain methods mean by an `on_<name>` of its own."""

    def block(self, statements: Sequence[ast.stmt]) -> None:
        """Statements, one after the other."""
        raise NotImplementedError

    # functions of the user's

    def enter(self, code: Code, bound: Mapping[str, Value], around: Frame | None = None) -> Value:
        """Follow a function: its events come next, and its value is what it returns."""
        if len(self.frames) >= DEEPEST or any(frame.code.node is code.node for frame in self.frames):
            return union(bound.values())
        self.main_file = self.main_file or code.file
        before, conditions = self.no_grad, len(self.conditions)
        self.frames.append(Frame(code, dict(bound), around))
        try:
            if isinstance(code.node, ast.Lambda):
                return self.value(code.node.body)
            self.no_grad |= any("no_grad" in ast.unparse(one) for one in getattr(code.node, "decorator_list", ()))
            self.block(code.node.body)
            returned = self.frame.returned
            return returned[0] if len(returned) == 1 else union(returned)
        finally:
            self.no_grad = before
            del self.conditions[conditions:]
            self.frames.pop()

    def follow(
        self, called: Value, args: Sequence[Value] = (), kwargs: Mapping[str, Value] | None = None
    ) -> Value | None:
        """Into a function of the user's; None where it is none, or cannot be read."""
        local = called.function
        if local is not None:
            frame: Frame = local.around
            name = getattr(local.node, "name", "lambda")
            code = Code(name, frame.code.file, local.node, frame.code.lines, frame.code.names)
            return self.enter(code, bind(local.node, args, kwargs or {}), frame)
        function = getattr(called.known, "__func__", called.known)
        if not isinstance(function, types.FunctionType) or not is_users(function, beside=self._home()):
            return None
        read = code_of(called.known)
        if read is None or isinstance(read.node, ast.Module):
            return None
        given = args if read.owner is None else (lift(read.owner), *args)
        return self.enter(read, bind(read.node, given, kwargs or {}))

    def _home(self) -> str:
        return str(self.frames[0].code.names.get("__name__", "__main__")) if self.frames else "__main__"

    # calls

    def _value_call(self, node: ast.Call) -> Value:
        receiver = self.value(node.func.value) if isinstance(node.func, ast.Attribute) else NOTHING
        callee = self._callee(node.func, receiver)
        args = tuple(self.value(arg) for arg in node.args)
        kwargs = {keyword.arg or "**": self.value(keyword.value) for keyword in node.keywords}
        on, _, name = ast.unparse(node.func).rpartition(".")
        if isinstance(node.func, ast.Attribute):
            name = node.func.attr
        return self.call(Call(node, name, on, receiver, callee, args, kwargs))

    def _callee(self, function: ast.expr, receiver: Value) -> Value:
        if not isinstance(function, ast.Attribute):
            return self.value(function)
        text = ast.unparse(function)
        if text in self.frame.attributes:
            return self.frame.attributes[text]
        if not receiver.is_known:
            return Value(role=role_of_name(function.attr)) if receiver.function is None else NOTHING
        found = attribute(receiver.known, function.attr)
        return lift(found) if found is not UNKNOWN else NOTHING

    def call(self, call: Call) -> Value:
        """What a call returns; what it does is noted."""
        known = call.callee.known
        is_own = call.callee.function is not None or self._is_users(known)
        name = (
            known.__name__ if isinstance(known, types.FunctionType) and not is_own else call.name
        )  # `clip = clip_grad_norm_`
        meaning: Callable[[Call], Value | None] | None = getattr(self, f"on_{name.strip('_')}", None)
        result = meaning(call) if meaning is not None and not is_own else None
        if result is None and isinstance(known, type):
            result = self.construct(call, known)
        if result is None and self._is_loss(call, known):
            others = [*call.node.args[1:], *(keyword.value for keyword in call.node.keywords)]
            compared = [one.id for part in others for one in ast.walk(part) if isinstance(one, ast.Name)]
            self.emit("loss", call.node, on=ast.unparse(call.node.func), target=known, compared=compared)
            result = replace(union(call.all), is_loss=True)
        if result is None and not isinstance(known, nn.Module):
            result = self.follow(call.callee, call.args, call.kwargs)
        if result is None and (isinstance(known, nn.Module) or call.callee.role == "model"):
            result = self._forward(call, known if isinstance(known, nn.Module) else None)
        return self.other(call) if result is None else result

    def _is_users(self, known: object) -> bool:
        """Whether it is a function of the user's that is no method which every module has (`train`, `eval`)."""
        function = getattr(known, "__func__", known)
        if not isinstance(function, types.FunctionType) or not is_users(function, beside=self._home()):
            return False
        owner = getattr(known, "__self__", None)
        return not (isinstance(owner, nn.Module) and hasattr(nn.Module, function.__name__))

    def _is_loss(self, call: Call, known: Any) -> bool:
        if known is self.training.loss_fn and known is not None:
            return True
        if role_of(known) == "loss" or (isinstance(known, types.FunctionType) and known in LOSS_FUNCTIONS):
            return True
        return not call.callee.is_known and call.callee.function is None and call.callee.role == "loss"

    def _forward(self, call: Call, module: nn.Module | None) -> Value:
        """A network, or a part of one, is called."""
        inputs = union(call.all)
        if module is not None and self.inside:
            followed = self._into(module, call.args, call.kwargs)
            if followed is not None:
                return followed
        if module is not None and next(module.parameters(), None) is None:
            return inputs
        network = frozenset({Held(module)}) if module is not None else call.callee.live or frozenset({SOMETHING})
        names = [one.id for arg in call.node.args for one in ast.walk(arg) if isinstance(one, ast.Name)]
        self.emit("forward", call.node, on=ast.unparse(call.node.func), target=module, names=names)
        if self.no_grad:
            return Value(cut=inputs.live | inputs.cut | network)
        return Value(live=inputs.live | network, cut=inputs.cut)

    def _into(self, module: nn.Module, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value | None:
        """Into the forward pass of a module of the user's, and of those that a sequence of modules holds."""
        if type(module) is nn.Sequential:
            found = [self._into(part, args, {}) for part in module]
            return None if all(one is None for one in found) else Value(live=frozenset({Held(module)}))
        return self.follow(Value(known=types.MethodType(type(module).forward, module)), args, kwargs)

    def construct(self, call: Call, kind: type) -> Value:
        """An object is made."""
        role = role_of(kind)
        if role in ("optimizer", "scheduler"):
            given = {name: value.known for name, value in call.kwargs.items() if value.is_known}
            self.emit(
                "optimizer" if role == "optimizer" else "schedule",
                call.node,
                on=kind.__name__,
                target=kind,
                given=given,
            )
            return Value(role=role, live=union(call.all).live)
        if role == "model":
            if self.inside and issubclass(kind, nn.modules.dropout._DropoutNd):
                self.emit("dropout", call.node, on=kind.__name__, how="made")
            return Value(role=role, live=frozenset({SOMETHING}))
        if role:
            return Value(role=role, live=union(call.all).live if role == "parameter" else frozenset())
        if kind in (float, int, bool):
            return union(call.all).without_gradient()
        return union(call.all)

    def other(self, call: Call) -> Value:
        """A call of anything else: what it returns is computed of all that it got."""
        joined = union([call.receiver, *call.all])
        if call.name in _SHAPED:
            joined = replace(joined, alias=call.receiver.alias)
        if call.name in _SAME_TERMS and not any(arg.computed for arg in call.all):
            held = call.receiver
            joined = replace(joined, terms=held.terms, sign=held.sign, is_loss=held.is_loss)
        if self.no_grad and joined.live:
            return joined.without_gradient()
        return joined


def bind(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, args: Sequence[Value], kwargs: Mapping[str, Value]
) -> dict[str, Value]:
    """What the arguments of a function stand for."""
    names = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
    bound = {**dict(zip(names, args, strict=False)), **{name: value for name, value in kwargs.items() if name != "**"}}
    defaults = dict(zip(reversed(names), reversed(node.args.defaults), strict=False))
    for name, default in defaults.items():
        if name not in bound and isinstance(default, ast.Constant):
            bound[name] = Value(known=default.value, settled=True)
    if node.args.vararg is not None:
        rest = tuple(args[len(names) :])
        bound[node.args.vararg.arg] = replace(union(rest), parts=rest)
    return bound


def is_tensor(value: Value) -> bool:
    """Whether a value is a tensor, as far as one can know."""
    return value.computed or bool(value.alias) or isinstance(value.known, torch.Tensor)
