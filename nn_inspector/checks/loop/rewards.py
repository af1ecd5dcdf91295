"""Policy gradients as the loop writes them: without their minus, or for an action that was never taken."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nn_inspector.checks.loop.reading import Reading

_LIKELY = re.compile(r"log_?probs?|logp", re.IGNORECASE)
_DRAWN_ANEW = re.compile(r"\.log_prob\([\w.]+\.r?sample\(\)\)")
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
    """Whether a line assigns a product of a log-probability and something good, with no minus in it.

    Example:
        >>> is_lowered_reward("loss = (dist.log_prob(action) * advantage).mean()")
        True
        >>> is_lowered_reward("loss = -(dist.log_prob(action) * advantage).mean()")
        False
        >>> is_lowered_reward("loss = (log_prob * (baseline - reward)).mean()")
        False
    """
    if any(isinstance(node, ast.USub | ast.Sub) for node in _nodes(code)):
        return False
    return any(_rewarded(code))


def _rewarded(code: str) -> Iterator[str]:
    """The log-probabilities that a line multiplies with a reward, as they are written there."""
    for node in _nodes(code):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            one, other = ast.unparse(node.left), ast.unparse(node.right)
            yield from (
                likely for likely, good in ((one, other), (other, one)) if _LIKELY.search(likely) and _GOOD.search(good)
            )


def _nodes(code: str) -> list[ast.AST]:
    try:
        return list(ast.walk(ast.parse(code)))
    except SyntaxError:
        return []
