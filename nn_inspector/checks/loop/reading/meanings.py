"""What certain calls mean in a training loop: zero_grad, backward, clip, step, train, detach, ..."""

from __future__ import annotations

import ast
import re
from dataclasses import replace

from torch import nn

from nn_inspector.checks.loop.reading.calls import Call, Calls
from nn_inspector.checks.loop.reading.values import NOTHING, UNKNOWN, Held, Role, Value, role_of_name, union

_RESETS = re.compile(r"^reset$|^_*(init|reset|zero|clear|new|initial)_*(hidden|states?|memory|cell|carry|h|hc|h0)$")
_INPLACE = re.compile(r"^[a-z][a-z0-9_]*[a-z0-9]_$")
_FUNCTIONAL = ("F", "functional", "nn.functional", "torch.nn.functional")
_LIBRARIES = ("", "torch", "np", "numpy")
_NO_CHANGE = frozenset({"requires_grad_", "retain_grad_", "share_memory_", "apply_"})


class Meanings(Calls):
    """Each method is called with a call of its name; None means that the call is something else."""

    def on_zero_grad(self, call: Call) -> Value | None:
        self.emit("zero_grad", call.node, on=call.on, target=call.receiver.known)
        return NOTHING

    def on_backward(self, call: Call) -> Value | None:
        value, written = call.receiver, call.node.func
        if call.on.endswith("autograd") and call.node.args:  # torch.autograd.backward(loss)
            value, written = call.args[0], call.node.args[0]
        elif isinstance(written, ast.Attribute):
            written = written.value
        if call.receiver.role == "scaler" or "accelerator" in call.on or "fabric" in call.on:
            value, written = (call.args[0], call.node.args[0]) if call.args else (NOTHING, written)
        retain = call.kwargs.get("retain_graph", NOTHING).known is True
        self.emit(
            "backward",
            call.node,
            on=ast.unparse(written),
            terms=self.terms_of(value, written, call.node),
            retain_graph=retain,
        )
        return NOTHING

    def on_step(self, call: Call) -> Value | None:
        role: Role = call.receiver.role or role_of_name(call.on)
        if role == "scaler" and call.args:
            on = ast.unparse(call.node.args[0])
            self.emit("step", call.node, on=on, target=call.args[0].known, scaled=True)
        elif role == "optimizer":
            closure = call.argument(0, "closure")
            self._run_closure(closure)
            self.emit("step", call.node, on=call.on, target=call.receiver.known, closure=closure is not NOTHING)
        elif role == "scheduler":
            self.emit("scheduler", call.node, on=call.on, target=call.receiver.known)
        else:
            return None
        return NOTHING

    def _run_closure(self, closure: Value) -> None:
        with self.under("closure"):
            self.follow(closure)

    def on_unscale(self, call: Call) -> Value | None:
        on = ast.unparse(call.node.args[0]) if call.node.args else ""
        self.emit("unscale", call.node, on=on, target=call.args[0].known if call.args else None)
        return NOTHING

    def on_scale(self, call: Call) -> Value | None:
        return (
            call.args[0] if len(call.args) == 1 and (call.receiver.role or role_of_name(call.on)) == "scaler" else None
        )

    def on_clip_grad_norm(self, call: Call) -> Value | None:
        return self._clip(call, "norm", "max_norm")

    def on_clip_grad_value(self, call: Call) -> Value | None:
        return self._clip(call, "value", "clip_value")

    def _clip(self, call: Call, how: str, name: str) -> Value:
        limit, what = call.argument(1, name).known, call.argument(0, "parameters")
        on = ast.unparse(call.node.args[0]) if call.node.args else call.on
        limit = limit if isinstance(limit, int | float) else None
        self.emit("clip", call.node, on=on, target=what.live, how=how, limit=limit)
        return NOTHING

    # modes and graphs

    def on_train(self, call: Call) -> Value | None:
        return self._mode(call, on=call.argument(0, "mode").known is not False)

    def on_eval(self, call: Call) -> Value | None:
        return self._mode(call, on=False) if call.on else None

    def _mode(self, call: Call, *, on: bool) -> Value | None:
        role = call.receiver.role or role_of_name(call.on)
        if role != "model" and not isinstance(call.receiver.known, nn.Module):
            return None
        self.emit("train" if on else "eval", call.node, on=call.on, target=call.receiver.known)
        return call.receiver

    def on_requires_grad(self, call: Call) -> Value | None:
        to = call.argument(0, "requires_grad").known is not False
        self.emit("freeze", call.node, on=call.on, target=call.receiver.known, to=to, of=call.receiver.live)
        return call.receiver

    def on_detach(self, call: Call) -> Value | None:
        return self._cut(call, call.receiver, call.on)

    on_item = on_tolist = on_numpy = on_argmax = on_argmin = on_multinomial = on_bernoulli = on_detach

    def on_float(self, call: Call) -> Value | None:
        """`float(x)`, `torch.tensor(x)`, `np.array(x)`; `x.float()` is something else."""
        return self._cut(call, union(call.args), ast.unparse(call.node)) if call.on in _LIBRARIES else None

    on_int = on_tensor = on_as_tensor = on_from_numpy = on_array = on_asarray = on_float

    def _cut(self, call: Call, value: Value, on: str) -> Value | None:
        if not value.computed and call.args and call.on:  # torch.argmax(x)
            value = union(call.args)
        if value.live:
            self.emit("cut", call.node, on=on, target=value, how=call.name.strip("_"))
        return value.without_gradient()

    def on_deepcopy(self, call: Call) -> Value | None:
        copied = call.argument(0, "x")
        return replace(copied, known=UNKNOWN, alias="", settled=False)

    def on_parameters(self, call: Call) -> Value | None:
        found = call.receiver
        if isinstance(found.known, nn.Module):
            return Value(role="parameters", live=frozenset({Held(found.known)}))
        return Value(role="parameters", live=found.live)

    on_named_parameters = on_parameters

    def on_modules(self, call: Call) -> Value | None:
        return replace(self.on_parameters(call) or NOTHING, role="networks")

    on_named_modules = on_children = on_named_children = on_modules

    def on_next(self, call: Call) -> Value | None:
        if call.on or not call.args:
            return None
        is_loader = call.args[0].role == "loader" or role_of_name(ast.unparse(call.node.args[0])) == "loader"
        return Value(alias="batch") if is_loader else None

    def on_iter(self, call: Call) -> Value | None:
        return call.args[0] if call.args and not call.on else None

    def on_append(self, call: Call) -> Value | None:
        if isinstance(call.node.func, ast.Attribute) and isinstance(call.node.func.value, ast.Name) and call.args:
            held = union([call.receiver, *call.args])
            self.frame.locals[call.node.func.value.id] = replace(held, parts=())
            self.emit("append", call.node, on=call.node.func.value.id)
        return NOTHING

    def on_dropout(self, call: Call) -> Value | None:
        if isinstance(call.callee.known, nn.Module) or (not call.callee.is_known and call.on not in _FUNCTIONAL):
            return None
        mode = call.written(2, "training")
        how = "default" if mode is None else "always" if call.argument(2, "training").known is True else "mode"
        self.emit("dropout", call.node, on=ast.unparse(call.node.func), how=how)
        return None

    on_dropout1d = on_dropout2d = on_dropout3d = on_alpha_dropout = on_feature_alpha_dropout = on_dropout

    # everything else

    def other(self, call: Call) -> Value:
        if _RESETS.match(call.name) and call.on:
            self.emit("reset", call.node, on=call.on, target=call.receiver)
        if call.on and _INPLACE.match(call.name) and call.name not in _NO_CHANGE:
            return self._inplace(call)
        return super().other(call)

    def _inplace(self, call: Call) -> Value:
        """`x.mul_(2)`, or `torch.relu_(x)` and `F.relu_(x)`."""
        if getattr(call.receiver.known, "__name__", "").startswith("torch") and call.args:
            self.changed_in_place(call.node.args[0], call.args[0], call.node, None, how=call.name)
            return call.args[0]
        assert isinstance(call.node.func, ast.Attribute), "what has a receiver is an attribute"
        added = call.node.args[-1] if call.node.args else None
        signs = [call.name.startswith("sub"), _negative(call.written(1, "alpha"))]
        if len(call.node.args) > 1:  # x.add_(-rate, gradient), as it was written once
            signs.append(_negative(call.node.args[0]))
        target = call.node.func.value
        self.changed_in_place(target, call.receiver, call.node, added, minus=sum(signs) % 2 == 1, how=call.name)
        return call.receiver

    def changed_in_place(
        self,
        target: ast.expr,
        value: Value,
        node: ast.AST,
        added: ast.expr | None,
        *,
        minus: bool = False,
        how: str = "",
    ) -> bool:
        """Note that something is changed in place: a gradient, weights, or data.

        Returns:
            Whether it was one of these.
        """
        on = ast.unparse(target)
        if value.role == "gradient" or ".grad" in on:
            if how in ("zero_", "fill_"):
                self.emit("zero_grad", node, on=on)
            else:
                self.emit("gradient", node, on=on, negated=how == "neg_" or _negative(added) or _mult_by_negative(node))
            return True
        if value.role in ("parameter", "weights") or (on.endswith(".data") and not value.alias):
            ascent = None
            if added is not None and "grad" in ast.unparse(added):
                ascent = minus == _negative(added)
            self.emit("weights", node, on=on, target=value, ascent=ascent)
            return True
        if value.alias:
            self.emit("inplace", node, on=on, target=value)
            return True
        return False


def _negative(node: ast.AST | None) -> bool:
    """Whether an expression begins with a minus, or has a factor that does.

    Example:
        >>> [_negative(ast.parse(code, mode="eval").body) for code in ("-lr * g", "g * -1", "lr * g", "-(-g)")]
        [True, True, False, False]
    """
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and node.value < 0
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return not _negative(node.operand)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
        return _negative(node.left) != _negative(node.right)
    return False


def _mult_by_negative(node: ast.AST) -> bool:
    return isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Mult | ast.Div) and _negative(node.value)
