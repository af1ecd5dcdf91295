"""Policy gradients that are written without their minus: what is rewarded becomes less likely."""

from __future__ import annotations

import ast
import re

from nn_inspector.checks.loop.reading import Reading

_LIKELY = re.compile(r"log_?probs?|logp", re.IGNORECASE)
_GOOD = re.compile(r"reward|return|advantage|\badvs?\b", re.IGNORECASE)


def lowered_reward(reading: Reading) -> str | None:
    """The line on which backward() goes down the product of a log-probability and a reward, as it is named; else None.

    Minimizing `log_prob * reward` makes actions less likely, the more they are rewarded. Only a product without any minus
    is meant, so that costs, and whatever is turned around elsewhere, are left alone.
    """
    for event in reading.of("backward"):
        for term in event.terms:
            if term.sign > 0 and not term.is_loss and is_lowered_reward(term.place.partition(": ")[2]):
                return term.place
    return None


def is_lowered_reward(code: str) -> bool:
    """Whether a line assigns a product of a log-probability and something good, with no minus in it.

    Example:
        >>> is_lowered_reward("loss = (dist.log_prob(action) * advantage).mean()")
        True
        >>> is_lowered_reward("loss = -(dist.log_prob(action) * advantage).mean()")
        False
        >>> is_lowered_reward("loss = (log_prob * (baseline - reward)).mean()")
        False
    """
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return False
    if any(isinstance(node, ast.USub | ast.Sub) for node in ast.walk(tree)):
        return False
    products = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)]
    return any(_of_both(ast.unparse(node.left), ast.unparse(node.right)) for node in products)


def _of_both(left: str, right: str) -> bool:
    return any(_LIKELY.search(one) and _GOOD.search(other) for one, other in ((left, right), (right, left)))
