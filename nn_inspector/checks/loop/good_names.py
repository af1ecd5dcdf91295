"""Names in a loop for what is to be made larger: rewards by name, and what is plainly made of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping

GOOD = re.compile(r"reward|return|advantage|\badvs?\b", re.IGNORECASE)
"""What a reward is called."""

_AS_IT_IS = frozenset(
    {
        "tensor",
        "as_tensor",
        "FloatTensor",
        "Tensor",
        "stack",
        "cat",
        "array",
        "asarray",
        "from_numpy",
        "reversed",
        "list",
    }
)
"""Functions that hand on what they are given."""

_METHODS = frozenset({"float", "to", "detach", "squeeze", "unsqueeze", "view", "reshape", "flatten", "clone", "copy"})


def good_names(assigned: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Names that do not say so themselves and stand for a reward (1), or for the negative of one (-1).

    Args:
        assigned: names and the lines that give them a value, in the order of the loop.

    Example:
        >>> good_names([("G", "G = torch.tensor(returns)"), ("G", "G = (G - G.mean()) / (G.std() + 1e-6)")])
        {'G': 1}
        >>> good_names([("cost", "cost = -torch.tensor(returns)"), ("w", "w = torch.exp(rewards)")])
        {'cost': -1}
    """
    signs: dict[str, int] = {}
    for name, code in assigned:
        if GOOD.search(name):
            continue
        sign = _sign(_value_of(name, code), signs)
        if sign:
            signs[name] = sign
        else:
            signs.pop(name, None)
    return signs


def with_good_names(code: str, signs: Mapping[str, int]) -> str:
    """A line in which such names say what they are.

    Example:
        >>> with_good_names("loss = (log_prob * G).mean()", {"G": -1})
        'loss = (log_prob * -reward).mean()'
    """
    tree = _parsed(code)
    if tree is None or not any(isinstance(node, ast.Name) and node.id in signs for node in ast.walk(tree)):
        return code
    return ast.unparse(_Renaming(signs).visit(tree))


class _Renaming(ast.NodeTransformer):
    def __init__(self, signs: Mapping[str, int]) -> None:
        self._signs = signs

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self._signs or not isinstance(node.ctx, ast.Load):
            return node
        reward = ast.Name("reward", ast.Load())
        return reward if self._signs[node.id] > 0 else ast.UnaryOp(ast.USub(), reward)


def _value_of(name: str, code: str) -> ast.expr | None:
    """What a line gives a name, if that is plain."""
    tree = _parsed(code)
    line = tree.body[0] if tree is not None and len(tree.body) == 1 else None
    if isinstance(line, ast.Assign) and len(line.targets) == 1:
        return dict(_pairs(line.targets[0], line.value)).get(name)
    if isinstance(line, ast.For):
        values = _elements(line.iter)
        return dict(_pairs(line.target, values)).get(name)
    return None


def _elements(over: ast.expr) -> ast.expr:
    """What stands for the elements of what is gone over: itself, or a tuple of what is zipped."""
    if isinstance(over, ast.Call) and isinstance(over.func, ast.Name) and over.func.id == "zip":
        return ast.Tuple(over.args, ast.Load())
    return over


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for one, its in zip(target.elts, value.elts, strict=True):
            yield from _pairs(one, its)


def _sign(node: ast.expr | None, signs: Mapping[str, int]) -> int:
    """1 for what is as good as a reward is, -1 for what is as bad, 0 where that is not plain."""
    if isinstance(node, ast.Name):
        return signs.get(node.id, int(bool(GOOD.search(node.id))))
    if isinstance(node, ast.Attribute):
        return int(bool(GOOD.search(node.attr)))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_sign(node.operand, signs)
    if isinstance(node, ast.Call):
        return _of_call(node, signs)
    if isinstance(node, ast.BinOp):
        return _of_two(node, signs)
    return 0


def _of_call(node: ast.Call, signs: Mapping[str, int]) -> int:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in _AS_IT_IS and node.args:
        return _sign(node.args[0], signs)
    return _sign(node.func.value, signs) if isinstance(node.func, ast.Attribute) and name in _METHODS else 0


def _of_two(node: ast.BinOp, signs: Mapping[str, int]) -> int:
    left, right = _sign(node.left, signs), _sign(node.right, signs)
    if isinstance(node.op, ast.Sub):
        return 0 if left and right else left - right
    if isinstance(node.op, ast.Div):
        return 0 if right else left
    return 0


def _parsed(code: str) -> ast.Module | None:
    for written in (code, f"{code}\n    pass"):
        try:
            return ast.parse(written)
        except SyntaxError:
            continue
    return None
