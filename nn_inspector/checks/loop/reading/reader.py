"""Follows the source of a loop, statement by statement, and notes what it does."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from nn_inspector.checks.loop.reading.code import Code
from nn_inspector.checks.loop.reading.events import Loop, Over
from nn_inspector.checks.loop.reading.meanings import Meanings
from nn_inspector.checks.loop.reading.values import NOTHING, UNKNOWN, Held, LocalFunction, Value, role_of_name, union

_VALIDATION = ("val", "test", "dev", "eval", "valid")
_WRAPPERS = ("tqdm", "trange", "iter", "islice", "cycle", "reversed", "list", "tuple", "sorted", "track", "progress")


class Reader(Meanings):
    """Reads pieces of code one after the other; `events` gathers what they do."""

    def read(self, code: Code, arguments: Mapping[str, Value] = MappingProxyType({})) -> None:
        """Follow a function or a cell.

        Args:
            code: what to read.
            arguments: what is known of the function's arguments, by name.
        """
        self.enter(code, dict(arguments))

    # statements

    def block(self, statements: Sequence[ast.stmt]) -> None:
        """Statements one after the other; behind one that may leave the block, the rest is conditional."""
        added = 0
        for statement in statements:
            self.statement(statement)
            if isinstance(statement, ast.If) and not statement.orelse and _leaves(statement.body):
                self.conditions.append(f"not ({ast.unparse(statement.test)})")
                added += 1
        del self.conditions[len(self.conditions) - added :]

    def statement(self, node: ast.stmt) -> None:
        """One statement."""
        visit = getattr(self, f"_{type(node).__name__.lower()}", None)
        if visit is not None:
            visit(node)
            return
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.expr):
                self.value(part)
            elif isinstance(part, ast.stmt):
                self.statement(part)

    def _functiondef(self, node: ast.FunctionDef) -> None:
        self.frame.locals[node.name] = Value(function=LocalFunction(node, self.frame))

    _asyncfunctiondef = _functiondef

    def _classdef(self, node: ast.ClassDef) -> None:
        """What a class does is read where its instances are used."""

    def _return(self, node: ast.Return) -> None:
        if node.value is not None:
            self.frame.returned.append(self.value(node.value))

    def _if(self, node: ast.If) -> None:
        truth = self.truth(node.test)
        if truth is None:
            self.value(node.test)
        test = ast.unparse(node.test)
        if truth is not False:
            with self.under(test if truth is None else None):
                self.block(node.body)
        if truth is not True:
            with self.under(f"not ({test})" if truth is None else None):
                self.block(node.orelse)

    def _for(self, node: ast.For) -> None:
        over, data, element = self.iterated(node.iter)
        with self.during(Loop(node.lineno, over, data)):
            self.assign(node.target, element, node)
            self.block(node.body)
        self.block(node.orelse)

    _asyncfor = _for

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> Value:
        before = dict(self.frame.locals)
        with ExitStack() as loops:
            for one in node.generators:
                over, data, element = self.iterated(one.iter)
                loops.enter_context(self.during(Loop(node.lineno, over, data)))
                self.assign(one.target, element, node)
                for condition in one.ifs:
                    self.value(condition)
            parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            result = union([self.value(part) for part in parts])
        self.frame.locals = before
        return result

    _value_listcomp = _value_setcomp = _value_generatorexp = _value_dictcomp = _comprehension

    def _while(self, node: ast.While) -> None:
        with self.during(Loop(node.lineno, "other")):
            self.value(node.test)
            self.block(node.body)
        self.block(node.orelse)

    def _with(self, node: ast.With) -> None:
        before = self.no_grad
        for one in node.items:
            called = one.context_expr
            name = ast.unparse(called.func if isinstance(called, ast.Call) else called).rpartition(".")[2]
            if name in ("no_grad", "inference_mode"):
                self.no_grad = True
            elif name == "enable_grad":
                self.no_grad = False
            elif name == "set_grad_enabled" and isinstance(called, ast.Call) and called.args:
                self.no_grad = self.truth(called.args[0]) is False
            else:
                held = self.value(called)
                if one.optional_vars is not None:
                    self.assign(one.optional_vars, held, node)
        self.block(node.body)
        self.no_grad = before

    _asyncwith = _with

    def _try(self, node: ast.Try) -> None:
        self.block(node.body)
        for handler in node.handlers:
            with self.under("an error"):
                self.block(handler.body)
        self.block([*node.orelse, *node.finalbody])

    def _match(self, node: ast.Match) -> None:
        self.value(node.subject)
        for case in node.cases:
            with self.under(f"{ast.unparse(node.subject)} is {ast.unparse(case.pattern)}"):
                self.block(case.body)

    def _assign(self, node: ast.Assign) -> None:
        value = self.value(node.value)
        for target in node.targets:
            self.assign(target, value, node)

    def _annassign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.assign(node.target, self.value(node.value), node)

    def _augassign(self, node: ast.AugAssign) -> None:
        right = self.value(node.value)
        left = self.value(node.target)
        minus = isinstance(node.op, ast.Sub)
        if self.changed_in_place(node.target, left, node, node.value, minus=minus):
            return
        result = self.combine(node.op, left, right, (node.target, node.value), node)
        if isinstance(node.target, ast.Name):
            self.frame.locals[node.target.id] = result

    # names

    def assign(self, target: ast.expr, value: Value, node: ast.AST) -> None:
        """Give names what stands for them from here on."""
        if isinstance(target, ast.Starred):
            self.assign(target.value, value, node)
        elif isinstance(target, ast.Tuple | ast.List):
            fits = len(value.parts) == len(target.elts) and not any(isinstance(e, ast.Starred) for e in target.elts)
            rest = replace(value, known=UNKNOWN, parts=(), terms=())
            for index, one in enumerate(target.elts):
                self.assign(one, value.parts[index] if fits else rest, node)
        elif isinstance(target, ast.Name):
            place = value.place or self.place_of(node) if value.computed else ""
            self.frame.locals[target.id] = replace(value, settled=False, place=place)
            if self.loops:
                self.emit("assign", node, on=target.id, target=value)
        elif isinstance(target, ast.Attribute):
            self.assign_attribute(target, value, node)
        elif isinstance(target, ast.Subscript):
            held = self.value(target.value)
            if held.alias and not self.changed_in_place(target.value, held, node, None):
                self.emit("inplace", node, on=ast.unparse(target.value), target=held)

    def assign_attribute(self, target: ast.Attribute, value: Value, node: ast.AST) -> None:
        """`model.head = ...`, `p.grad = ...`, `p.data = ...`, `p.requires_grad = False`, `self.hidden = ...`."""
        owner, on = self.value(target.value), ast.unparse(target)
        if target.attr == "grad":
            empty = value.known is None
            written = node.value if isinstance(node, ast.Assign) else None
            self.emit("zero_grad" if empty else "gradient", node, on=on, negated=_is_negative(written))
        elif target.attr == "data":
            self.emit("weights", node, on=on)
        elif target.attr == "requires_grad":
            self.emit("freeze", node, on=ast.unparse(target.value), target=owner.known, to=value.known)
        elif isinstance(owner.known, nn.Module) or owner.role == "model":
            held = {**owner.known._modules, **owner.known._parameters} if isinstance(owner.known, nn.Module) else {}
            if target.attr in held or value.role in ("model", "parameter"):
                self.emit("replace", node, on=on, target=owner.known, name=target.attr)
            else:
                self.emit("reset" if not value.live else "assign", node, on=on, target=value, owner=owner.known)
        self.frame.attributes[on] = value

    # loops

    def iterated(self, node: ast.expr) -> tuple[Over, Any, Value]:
        """What a loop goes over, the loader if it is known, and what an element of it is."""
        name = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and node.args and name in (*_WRAPPERS, "enumerate", "zip"):
            found = [self.iterated(one) for one in node.args if name == "zip"] or [self.iterated(node.args[0])]
            over, data, element = next((one for one in found if one[0] in ("batches", "validation")), found[0])
            if name == "enumerate":
                return over, data, Value(parts=(NOTHING, element))
            return over, data, Value(parts=tuple(one[2] for one in found)) if name == "zip" else element
        value = self.value(node)
        if name == "range":
            return "range", None, NOTHING
        if value.role in ("parameters", "networks"):
            element = Value(role="parameter" if value.role == "parameters" else "model", live=value.live)
            return "other", None, Value(parts=(NOTHING, element)) if name.startswith("named_") else element
        over = self.what_is_iterated(value, ast.unparse(node))
        if over == "other":
            is_networks = isinstance(value.known, nn.ModuleList | nn.Sequential)
            live = frozenset({Held(value.known)}) if is_networks else value.live
            return over, None, Value(role="model" if is_networks else "", live=live, cut=value.cut, alias=value.alias)
        return over, value.known if value.is_known else None, Value(alias="batch")

    def what_is_iterated(self, value: Value, text: str) -> Over:
        """Whether a loop over this goes over batches."""
        training = self.training
        if value.is_known and value.known is training.train_loader:
            return "batches"
        if value.is_known and value.known is training.val_loader:
            return "validation"
        last = text.lower().replace(".", "_").split("_")
        validating = any(word.startswith(_VALIDATION) for word in last)
        is_batches = isinstance(value.known, DataLoader) or _holds_batches(value.known)
        if is_batches or value.role == "loader" or (not value.is_known and role_of_name(text) == "loader"):
            return "validation" if validating else "batches"
        return "other"


def _leaves(body: Sequence[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Continue | ast.Break | ast.Return | ast.Raise)


def _is_negative(node: ast.AST | None) -> bool:
    """Whether an expression begins with a minus, or has a negative number as a factor."""
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub)
    return isinstance(node, ast.BinOp) and (_is_negative(node.left) or _is_negative(node.right))


def _holds_batches(found: Any) -> bool:
    """Whether this is a list of batches: its first element is made of tensors."""
    if not isinstance(found, list | tuple) or not found:
        return False
    first = found[0]
    if isinstance(first, dict):
        first = list(first.values())
    return isinstance(first, list | tuple) and any(isinstance(part, torch.Tensor) for part in first)
