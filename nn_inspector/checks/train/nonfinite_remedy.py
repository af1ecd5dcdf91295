"""What helps against an operation that leaves the numbers."""

from __future__ import annotations

from collections.abc import Mapping

from nn_inspector.history import Remedy

_LOG = Remedy(
    "The logarithm of 0 is -Inf, and that of a negative number is NaN. Give logits to a loss that takes the logarithm itself, "
    "or keep the argument above 0.",
    "loss = torch.nn.functional.cross_entropy(logits, target)  # or binary_cross_entropy_with_logits\n"
    "# where it must be a logarithm:\n"
    "y = torch.log(x.clamp(min=1e-8))",
)
_ROOT = Remedy(
    "The derivative of a root (and of a norm or a standard deviation) is infinite at 0. Add a small number under the root.",
    "y = torch.sqrt(x + 1e-8)",
)
_DIVISION = Remedy("Something is divided by 0. Keep the divisor away from 0.", "y = x / (divisor + 1e-8)")
_EXP = Remedy(
    "exp() of more than 88 is too large for float32. Use softmax, log_softmax or logsumexp, which subtract the largest "
    "value first, and bring the inputs to unit scale.",
    "log_probabilities = torch.nn.functional.log_softmax(logits, dim=1)\n"
    "loss = torch.nn.functional.nll_loss(log_probabilities, target)",
)
_GREW = Remedy(
    "The training blew up. Lower the learning rate by a factor of ten, clip the gradient, and bring inputs and targets to "
    "unit scale.",
    "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # between backward() and step()\n"
    "for group in optimizer.param_groups:\n"
    '    group["lr"] /= 10',
)
_SEARCH = Remedy(
    "Let torch name the operation whose derivative is NaN. Look for logarithms, roots and divisions, and clip the gradient if "
    "the loss grew before.",
    "with torch.autograd.detect_anomaly():\n    loss = loss_fn(model(x), y)\n    loss.backward()",
)

_LOGS = ("log", "log2", "log10", "binary_cross_entropy", "poisson_nll_loss", "nll_loss", "log_", "xlogy")
_ROOTS = ("sqrt", "norm", "linalg_vector_norm", "std", "rsqrt", "cdist", "dist", "std_mean")
_DIVISIONS = ("div", "truediv", "rtruediv", "rdiv", "reciprocal", "divide", "true_divide")

_BY_OPERATION: Mapping[str, Remedy] = {
    **dict.fromkeys(_LOGS, _LOG),
    **dict.fromkeys(_ROOTS, _ROOT),
    **dict.fromkeys(_DIVISIONS, _DIVISION),
    **dict.fromkeys(("exp", "expm1", "sinh", "cosh", "exp_"), _EXP),
}

UNDEFINED = frozenset((*_LOGS, *_ROOTS, *_DIVISIONS))
"""Operations that are not defined everywhere, or have no derivative: with a smaller rate they are met later, and that is all."""

RISKY = frozenset(_BY_OPERATION)
"""Names of operations that can make NaN or Inf of finite numbers."""


def advice(operation: str | None, *, grew: bool) -> Remedy:
    """What to do.

    Args:
        operation: the one that leaves the numbers, if it is known.
        grew: whether the loss had grown before.
    """
    return _BY_OPERATION.get(operation or "", _GREW if grew else _SEARCH)
