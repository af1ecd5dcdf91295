"""Whether inputs tell their targets: a kernel regression on some of the items, judged on others and against permuted targets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from nn_inspector.checks.items_seen import ItemsSeen

FEWEST = 60
"""With fewer items nothing is said."""

_PARTS = 4
_RIDGE = 0.3
_PERMUTED = 20
_CLEAR = 5.0
_MOST = 600


@dataclass(frozen=True, slots=True)
class Pairs:
    """Inputs and targets, item by item.

    Attributes:
        features: float32 [items, features].
        targets: float32 [items, columns]; of classes a column each.
    """

    features: torch.Tensor
    targets: torch.Tensor

    @classmethod
    def of(cls, seen: ItemsSeen) -> Pairs:
        """Of items as the network sees them; numbers by their order."""
        target = seen.target
        if seen.task == "classes" and not target.is_floating_point():
            target = F.one_hot(target, int(target.max()) + 1)
        target = target[:_MOST].reshape(len(target[:_MOST]), -1).float().cpu()
        return cls(seen.features[:_MOST].float().cpu(), _even(target) if seen.task == "numbers" else target)

    @property
    def others(self) -> int:
        """How many items have not the most frequent answer, where answers are classes or yes and no; the most of all columns.

        Example:
            >>> Pairs(torch.zeros(5, 2), torch.tensor([[1.0, 0.0]] * 4 + [[0.0, 1.0]])).others
            1
        """
        yes = (self.targets > 0).sum(0)
        return int(torch.minimum(yes, len(self.targets) - yes).max())

    def those(self, chosen: torch.Tensor) -> Pairs:
        """Some of the items."""
        return Pairs(self.features[chosen], self.targets[chosen])

    def shifted(self, by: int) -> Pairs:
        """Each input with the target of the item `by` places further on."""
        items = len(self.features) - abs(by)
        first, second = (0, by) if by > 0 else (-by, 0)
        return Pairs(self.features[first : first + items], self.targets[second : second + items])


@dataclass(frozen=True, slots=True)
class Fit:
    """How far targets can be learned from inputs, judged on items that were not fitted.

    Attributes:
        correlation: of what was guessed with the targets.
        spread: standard deviation of the same with permuted targets.
    """

    correlation: float
    spread: float

    @property
    def clear(self) -> bool:
        """Whether it is surely more than with permuted targets."""
        return self.correlation > _CLEAR * self.spread

    @property
    def explained(self) -> float:
        """The share of the targets' variance that the guesses account for."""
        return max(self.correlation, 0.0) ** 2


def fit(pairs: Pairs, judges: Pairs | None = None) -> Fit:
    """Learn the targets from the inputs.

    Args:
        pairs: what is learned from.
        judges: what it is judged on; `pairs` itself if None, each quarter by what the others have taught.
    """
    generator = torch.Generator().manual_seed(0)
    columns = pairs.targets.shape[1] if judges is None else min(pairs.targets.shape[1], judges.targets.shape[1])
    known = _permuted(pairs.targets[:, :columns], generator)
    if judges is not None:
        asked = _permuted(judges.targets[:, :columns], generator)
        guess, right = _guess(pairs.features, judges.features, known), asked - known.mean(0)
    else:
        quarters = torch.randperm(len(pairs.features), generator=generator).chunk(_PARTS)
        rests = [torch.cat([*quarters[:place], *quarters[place + 1 :]]) for place in range(_PARTS)]
        each = list(zip(rests, quarters, strict=True))
        guess = torch.cat([_guess(pairs.features[a], pairs.features[b], known[a]) for a, b in each])
        right = torch.cat([known[b] - known[a].mean(0) for a, b in each])
    both = zip(guess.split(columns, dim=1), right.split(columns, dim=1), strict=True)
    found = torch.stack([_correlation(one, other) for one, other in both])
    return Fit(float(found[0]), max(float(found[1:].square().mean().sqrt()), right.shape[0] ** -0.5 / 2))


def _permuted(targets: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The targets, and beside them the same in other orders."""
    orders = [
        torch.arange(len(targets)),
        *(torch.randperm(len(targets), generator=generator) for _ in range(_PERMUTED)),
    ]
    return torch.cat([targets[order] for order in orders], 1).double()


def _even(values: torch.Tensor) -> torch.Tensor:
    """Each column by its order, from -1 to 1, so that no outlier rules; ties share their place."""
    places = torch.empty_like(values)
    for column in range(values.shape[1]):
        _, level, counts = values[:, column].unique(return_inverse=True, return_counts=True)
        places[:, column] = ((counts.cumsum(0) - (counts + 1) / 2) / max(len(values) - 1, 1) * 2 - 1)[level]
    return places


def _correlation(guess: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = (guess * right).sum() / (guess.norm() * right.norm()).clamp(min=1e-12)
    return found


def _guess(known: torch.Tensor, asked: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Kernel ridge regression with a kernel of the usual distance between items, plus a linear one."""
    middle, spread = known.median(0).values, known.std(0)
    used = spread > 0
    near = (known - middle).abs().quantile(0.75, dim=0)
    width = torch.where(near > 0, near, spread)
    known, asked = (((one - middle) / width)[:, used].double().clamp(-4, 4) for one in (known, asked))
    size = max(known.shape[1], 1)

    def kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.exp(-torch.cdist(a, b).square() / (2 * size)) + a @ b.T / size

    within = kernel(known, known) + _RIDGE * torch.eye(len(known), dtype=torch.float64)
    guess: torch.Tensor = kernel(asked, known) @ torch.linalg.solve(within, targets - targets.mean(0))
    return guess
