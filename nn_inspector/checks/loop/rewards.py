"""Policy gradients as the loop writes them: without their minus, or for an action that was never taken."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nn_inspector.checks.loop.good_names import GOOD, good_names, with_good_names
from nn_inspector.checks.loop.reading import Reading, Term

_LIKELY = re.compile(r"log_?probs?|logp", re.IGNORECASE)
_DRAWN_ANEW = re.compile(r"\.log_prob\([\w.]+\.r?sample\(\)\)")
_BASELINE = re.compile(r"baseline|mean|average|avg|moving|running|expected", re.IGNORECASE)
_SUMMED_LIST = re.compile(r"torch\.(?:cat|stack)\((\w+)(?:, [^()]*)?\)\.(?:sum|mean)\(\)|sum\((\w+)\)")
_MEANS = frozenset({"mean", "sum", "squeeze", "item"})


def lowered_reward(reading: Reading) -> str | None:
    """The line on which backward() goes down the product of a log-probability and a reward, as it is named; else None.

    Minimizing `log_prob * reward` makes actions less likely, the more they are rewarded. A minus before the product, before one of
    its factors, or of a baseline that the reward is taken from, turns it around. Costs are left alone.
    """
    signs = good_names((event.on, event.code) for event in reading.of("assign"))
    for event in reading.of("backward"):
        for term in event.terms:
            written = (with_good_names(code, signs) for code in _written(term, reading))
            code = next((one for one in written if any(_rewarded(one))), "")
            if term.sign > 0 and not term.is_loss and is_lowered_reward(code):
                return term.place
    return None


def _written(term: Term, reading: Reading) -> Iterator[str]:
    """How a summand of the loss is written: itself, the line that made it, what was put into the list that is summed up there."""
    line = term.place.partition(": ")[2]
    yield term.code
    yield line
    for code in (term.code, line):
        for node in _statements(code):
            summed = _SUMMED_LIST.fullmatch(ast.unparse(node))
            name = summed and (summed[1] or summed[2])
            yield from (event.code for event in reading.of("append") if event.on == name)


def reward_of_another_action(reading: Reading) -> str | None:
    """The line that takes the log-probability of an action drawn there and then, where backward() multiplies it with a reward.

    The reward was given for the action that was played, and the one drawn anew has nothing to do with it.
    """
    for event in reading.of("backward"):
        for term in event.terms:
            for likely in _rewarded(term.place.partition(": ")[2]):
                if _DRAWN_ANEW.search(likely):
                    return term.place
                names = {node.id for node in _nodes(likely) if isinstance(node, ast.Name)}
                made = (one for one in reading.of("assign") if one.on in names and _DRAWN_ANEW.search(one.code))
                found = next(made, None)
                if found is not None:
                    return found.place
    return None


def is_lowered_reward(code: str) -> bool:
    """Whether a line computes a product of a log-probability and something good, with no minus that turns it around.

    Example:
        >>> is_lowered_reward("loss = (dist.log_prob(action) * advantage).mean()")
        True
        >>> is_lowered_reward("loss = -(dist.log_prob(action) * advantage).mean()")
        False
        >>> is_lowered_reward("loss = (log_prob * (baseline - reward)).mean()")
        False
        >>> is_lowered_reward("loss = (log_prob * (reward - baseline)).mean() - 0.01 * entropy.mean()")
        True
    """
    return any(sign > 0 for node in _statements(code) for sign in _signs(node, 1))


def _statements(code: str) -> list[ast.expr]:
    """What a line computes: the right side of an assignment, what is added to a list, or an expression."""
    found = []
    for node in _nodes(code):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return) and node.value is not None:
            found.append(node.value)
        elif isinstance(node, ast.Expr):
            is_call = isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute)
            appended = is_call and node.value.func.attr == "append"  # type: ignore[attr-defined]
            found += node.value.args if appended else [node.value]  # type: ignore[attr-defined]
    return found


def _signs(node: ast.expr, sign: int) -> Iterator[int]:
    """The signs with which products of a log-probability and something good stand in a sum."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield from _signs(node.operand, -sign)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _MEANS:
        of = node.args[:1] if ast.unparse(node.func.value) == "torch" else [node.func.value]
        for one in of:
            yield from _signs(one, sign)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        yield from _signs(node.left, sign)
        yield from _signs(node.right, -sign if isinstance(node.op, ast.Sub) else sign)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        yield from _signs(node.left, sign)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        if any(_pairs(node)):
            yield sign * _sign_of(node.left) * _sign_of(node.right)
        else:
            yield from _signs(node.left, sign * _sign_of(node.right))
            yield from _signs(node.right, sign * _sign_of(node.left))


def _sign_of(factor: ast.expr) -> int:
    """-1 for what is turned around: with a minus before it, or something good that is subtracted from something else."""
    if isinstance(factor, ast.UnaryOp) and isinstance(factor.op, ast.USub):
        return -_sign_of(factor.operand)
    if isinstance(factor, ast.BinOp) and isinstance(factor.op, ast.Mult | ast.Div):
        return _sign_of(factor.left) * _sign_of(factor.right)
    if isinstance(factor, ast.BinOp) and isinstance(factor.op, ast.Sub):
        left, right = ast.unparse(factor.left), ast.unparse(factor.right)
        return -1 if GOOD.search(right) and (_BASELINE.search(left) or not GOOD.search(left)) else 1
    if isinstance(factor, ast.Call) and isinstance(factor.func, ast.Attribute):
        return _sign_of(factor.func.value)
    return 1


def _rewarded(code: str) -> Iterator[str]:
    """The log-probabilities that a line multiplies with a reward, as they are written there."""
    for node in _nodes(code):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            yield from _pairs(node)


def _pairs(node: ast.BinOp) -> Iterator[str]:
    one, other = ast.unparse(node.left), ast.unparse(node.right)
    yield from (likely for likely, good in ((one, other), (other, one)) if _LIKELY.search(likely) and GOOD.search(good))


def _nodes(code: str) -> list[ast.AST]:
    try:
        return list(ast.walk(ast.parse(code)))
    except SyntaxError:
        return []
