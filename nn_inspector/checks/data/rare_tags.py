"""Tags that are rare: several answers yes or no for each item, of which the network hardly ever says yes."""

from __future__ import annotations

import ast
import re
import types
from collections.abc import Sequence
from typing import Any

import torch

from nn_inspector.checks.answers import are_yes_or_no
from nn_inspector.checks.base import CheckInfo, Subject, finding
from nn_inspector.checks.data.class_answers import LOST, RARE, ClassAnswers
from nn_inspector.checks.data.class_race import Rare, apart, surely
from nn_inspector.checks.data.rare_positions import MOST_CLASSES
from nn_inspector.checks.loop.reading import code_of, is_users
from nn_inspector.checks.loop.source import codes_of
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Start, TrainingCopy, batch_size, isolated
from nn_inspector.experiments.one_pass import one_pass
from nn_inspector.history import Evidence, Finding, Remedy, Run

_YES_OR_NO = frozenset({"binary_cross_entropy", "binary_cross_entropy_with_logits"})
_FEWEST = 20
_ITEMS = 600
_MOST_WEIGHT = 100.0
_SCORES = re.compile(r"logit|out|pred|prob|score|model|net|\bp\b", re.IGNORECASE)

_WEIGHTS = """\
positive = y_train.float().mean(0)  # how often each tag comes
loss_fn = torch.nn.BCEWithLogitsLoss(pos_weight=(1 - positive) / positive)"""


def rare_tags(info: CheckInfo, subject: Subject) -> Finding | None:
    """Whether tags are found, and if not, whether a copy finds them whose loss weighs a yes as much as all that are no.

    Returns:
        None if items have no tags, or their loss weighs them already.

    Raises:
        ExperimentError: no experiment is possible, or there is too little to judge by.
    """
    if subject.seconds <= 0 or not _may_be_tags(subject.run):
        return None
    with isolated(subject.training, start=Start()) as copied:
        first = tag_answers(copied, subject.batches()[:1])
    if first is None:
        return None
    pool, judges = apart(subject, max(1, -(-_ITEMS // batch_size(subject.batches()[0]))))
    with isolated(subject.training, start=Start()) as copied:
        now, taught = (surely(tag_answers)(copied, batches) for batches in (judges, pool))
    share = float(now.right.float().mean())
    evidence: Evidence = {"shares": [1 - share, share], "classes": [0.0, 1.0]}
    spread = f"only {share:.1%} of all answers should be yes"
    if share >= RARE:
        return finding(info, "ok", f"No answer is rare: {share:.1%} should be yes.", evidence=evidence)
    if now.count([1]) < _FEWEST:
        raise ExperimentError(f"Only {now.count([1])} answers that should be yes are there to judge by.")
    asked = Rare([1], now, surely(tag_answers), judges, f1_of_yes)
    evidence = {**evidence, "rare_found": asked.found, "f1": f1_of_yes(now)}
    message = f"{spread}, and your network finds {asked.found:.0%} of these."
    if asked.found > LOST:
        return finding(info, "info", f"O{message[1:]}", evidence=evidence, where="train_loader")
    tried = asked.race(subject, pool, yes=_weights(taught))
    evidence = {**evidence, "rare_found_if_weighed": tried.found}
    message += f" A copy whose loss weighs each yes as much as all the no of its tag found {tried.found:.0%}"
    if not tried.helped:
        message += (
            f", and one with your loss {tried.found_without:.0%}: that does not put the blame on how often they come."
        )
        return finding(info, "info", f"O{message[1:]}", evidence=evidence, where="train_loader", basis="experiment")
    message += f", with an F1 score of {tried.score:.2f} instead of {f1_of_yes(now):.2f}."
    decides = _decides_at_half(subject)
    if not decides:
        message += " Where you judge by ranks alone (average precision, AUC), this does no harm."
    return finding(
        info,
        "warning" if decides else "info",
        f"No: {message}" if decides else f"O{message[1:]}",
        evidence=evidence,
        remedy=Remedy(
            "Give each tag a pos_weight in the loss, or say yes from a lower score on.",
            _WEIGHTS,
            tried.trial("1 - F1 of yes"),
        ),
        where="train_loader",
        basis="experiment",
    )


def tag_answers(copied: TrainingCopy, batches: Sequence[Any]) -> ClassAnswers | None:
    """What a copy answers for each item and tag, 1 for yes, [items, tags]; None where there are no tags, or they are weighed."""
    given, right = [], []
    for batch in batches:
        seen = one_pass(copied, batch)
        calls = seen.calls
        if len(calls) != 1 or calls[0].name not in _YES_OR_NO:
            return None
        call = calls[0]
        target = call.target.detach().cpu().float()
        weighed = any(call.options.get(name) is not None for name in ("weight", "pos_weight"))
        if (
            weighed
            or target.dim() != 2
            or not 2 <= target.shape[1] <= MOST_CLASSES
            or call.prediction.shape != target.shape
        ):
            return None
        like_an_input = any(part.shape == target.shape for one in seen.inputs for part in one)  # to be reconstructed
        if like_an_input or not are_yes_or_no(target) or bool((target.sum(1) == 1).all()):
            return None
        half = 0.0 if call.name.endswith("logits") else 0.5
        given.append((call.prediction.detach().cpu() > half).long())
        right.append(target.long())
    return ClassAnswers(torch.cat(given), torch.cat(right))


def f1_of_yes(said: ClassAnswers) -> float:
    """F1 score of all answers together: 2 * hits / (answers that should be yes + answers that are).

    Example:
        >>> f1_of_yes(ClassAnswers(torch.tensor([1, 1, 0]), torch.tensor([1, 0, 0])))
        0.6666666666666666
    """
    hits = int(((said.given == 1) & (said.right == 1)).sum())
    return 2 * hits / max(1, int((said.given == 1).sum() + (said.right == 1).sum()))


def _may_be_tags(run: Run) -> bool:
    return any(entry.call in _YES_OR_NO for entry in list(run.trace))


def _weights(taught: ClassAnswers) -> torch.Tensor:
    """Of the yes of each tag: how many no come for one."""
    yes = taught.right.sum(0).double()
    return ((len(taught.right) - yes) / yes.clamp(min=1)).clamp(1.0, _MOST_WEIGHT)


def _decides_at_half(subject: Subject) -> bool:
    """Whether the loop is seen to compare scores with 0.5, or plain ones with 0: rounding is the same."""
    codes = codes_of(subject.training)
    home = str(getattr(subject.training.loop[0], "__module__", "")) if subject.training.loop else "__main__"
    called = [code.names.get(name) for code in codes for name in _called(code.node)]
    users = [one for one in called if isinstance(one, types.FunctionType) and is_users(one, beside=home)]
    codes += [code for code in map(code_of, users) if code is not None]
    return any(_compares(node) for code in codes for node in ast.walk(code.node))


def _called(tree: ast.AST) -> set[str]:
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {function.id for function in calls if isinstance(function, ast.Name)}


def _compares(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr == "round" and not node.args
    if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Gt | ast.GtE):
        return False
    limit, compared = node.comparators[0], ast.unparse(node.left)
    if not isinstance(limit, ast.Constant) or isinstance(limit.value, bool) or "rand" in compared:
        return False
    return limit.value == 0.5 or (limit.value == 0 and bool(_SCORES.search(compared)))
