"""one_batch_fit: can the network learn a handful of items by heart?"""

from __future__ import annotations

import math

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.fit.by_heart import ENOUGH_WEIGHTS, NEARLY, Fit, learn_by_heart, learned_well
from nn_inspector.checks.train.standing import require_no_turns
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, batch_size, distinct_items, initial_state
from nn_inspector.history import Chart, Evidence, Finding, Remedy, Severity, Trial, curve

INFO = CheckInfo(
    name="one_batch_fit",
    stage="fit",
    kind="active",
    question="Can the network learn a handful of items by heart?",
    why=(
        "A sound network learns sixteen items by heart in a few hundred steps. If it cannot do even that, no amount of "
        "data or training will help: something in the model, the loss or the gradient is broken. If it can, the fault "
        "is in the data or in the loop."
    ),
    how=(
        "A copy with its first weights is trained on one batch of 16 items, without dropout, weight decay or your loop: "
        "first with your optimizer, then with Adam at rates 0.01 and 0.001. It passes when 95 % of the way from the "
        "first loss to the least possible one is done, and it is an error below 70 %, unless the network has too few "
        "weights for so many targets."
    ),
    remedy="Look at the output layer, the loss and whether gradients reach all layers. If only Adam gets there, change the rate.",
    sources=(
        "Karpathy, A Recipe for Training Neural Networks (2019): overfit one batch",
        "Braiek and Khomh, TheDeepChecker (2022): 16 samples, error below 5 %",
    ),
)

ITEMS = 16
MOVED = 0.25
"""Of what Adam gained, so much shows that the optimizer works, where it is not known how low the loss can go."""

_STEPS = 400
_RATES = (1e-2, 1e-3)


def look(subject: Subject, *, items: int = ITEMS, steps: int = _STEPS) -> Finding:
    """Train a copy on a few items.

    Args:
        subject: training and run.
        items: how many; 10 to 20 is usual.
        steps: at most so many for each optimizer tried.
    """
    if subject.seconds <= 0:
        raise ExperimentError("This check makes an experiment, and there is no time left for one.")
    require_no_turns(subject.run)
    training = subject.training
    start = initial_state(training, subject.run)
    batch = distinct_items(BatchSource(training.data).mixed(1, size=8 * items)[0], items)
    items = batch_size(batch)
    seconds = subject.seconds / (1 + len(_RATES))
    own = learn_by_heart(subject, start, batch, steps, seconds=seconds) if training.optimizers else None
    if own is not None and own.learned:
        message = f"Yes: the loss on {items} items went from {own.start:.3g} to {own.end:.3g} in {own.steps} steps."
        return finding(INFO, "ok", message, evidence=own.evidence("loss"))
    attempts = [
        (rate, learn_by_heart(subject, start, batch, steps, adam_rate=rate, seconds=seconds)) for rate in _RATES
    ]
    rate, best = min(attempts, key=lambda attempt: attempt[1].end if math.isfinite(attempt[1].end) else math.inf)
    evidence = {**(own.evidence("loss") if own else {}), **best.evidence("loss_with_adam")}
    nearly = own is not None and own.left <= NEARLY
    if best.learned and not nearly and not (own is not None and own.cut_short(steps)):
        return _only_with_adam(subject, own, best, rate, evidence, items)
    cut_short = [fit for fit in (own, *(fit for _, fit in attempts)) if fit is not None and fit.cut_short(steps)]
    if cut_short:
        raise ExperimentError(
            f"The time was enough for {min(fit.steps for fit in cut_short)} of {steps} steps only, which says nothing "
            'yet. Give it more: check("one_batch_fit", seconds=120).'
        )
    return _not_learned(subject, own, best, evidence, items)


def chart(result: Finding) -> Chart | None:
    """The loss on the few items."""
    names = {"loss": "your optimizer", "loss_with_adam": "Adam"}
    series = {label: curve(result.evidence[name]) for name, label in names.items() if name in result.evidence}  # type: ignore[arg-type]
    if not series:
        return None
    levels = {"learned": float(result.evidence["learned_below"])}  # type: ignore[arg-type]
    return Chart("lines", "step on the one batch", "loss", series, levels=levels)


def _not_learned(subject: Subject, own: Fit | None, best: Fit, evidence: Evidence, items: int) -> Finding:
    """No attempt came all the way: which of the reasons there may be for that is it?"""
    furthest = min((fit for fit in (own, best) if fit is not None), key=lambda fit: fit.left)
    weights = sum(p.numel() for p in subject.training.model.parameters() if p.requires_grad)
    went = f"from {furthest.start:.3g} to {furthest.end:.3g}"
    if furthest.left <= NEARLY:
        message = (
            f"Nearly: after {furthest.steps} steps on the same {items} items the loss is {furthest.end:.3g}, "
            f"{1 - furthest.left:.0%} of the way from {furthest.start:.3g} down to the least possible one."
        )
    elif not furthest.floor_is_known:
        message = (
            f"This says little: the loss on {items} items went {went} in {furthest.steps} steps, and how low it can go at "
            "all is not known of a loss like yours."
        )
    elif learned_well(subject):
        message = f"The loss on {items} items alone went {went} only, but your training as a whole learns well."
    elif weights < ENOUGH_WEIGHTS * furthest.targets:
        message = (
            f"This says little: the network has {weights:,} trainable numbers, too few to learn {furthest.targets:,} "
            f"target numbers by heart. The loss went {went}."
        )
    else:
        return _not_at_all(own or best, evidence, items)
    return finding(INFO, "info", message, evidence=evidence)


def _only_with_adam(
    subject: Subject, own: Fit | None, best: Fit, rate: float, evidence: Evidence, items: int
) -> Finding:
    if own is None:
        message = f"Yes: with Adam at {rate:g} the loss on {items} items fell to {best.end:.3g} in {best.steps} steps."
        return finding(INFO, "ok", message, evidence=evidence)
    message = (
        f"The network can learn {items} items, but not with your optimizer as it is set: its loss is still "
        f"{own.end:.3g} after {own.steps} steps. With Adam at {rate:g} it fell to {best.end:.3g} in {best.steps}."
    )
    remedy = Remedy(
        text=f"The model is sound. Try Adam with a learning rate of {rate:g}, or another rate for your optimizer.",
        code=f"optimizer = torch.optim.Adam(model.parameters(), lr={rate:g})",
        tried=Trial(own.losses, best.losses, helped=True),
    )
    # How low a log density can go is not known, and most go on falling on few items: what counts is whether it moved at all.
    moved = not own.floor_is_known and own.start - own.end >= MOVED * (best.start - best.end)
    severity: Severity = "info" if moved or learned_well(subject) else "warning"
    return finding(INFO, severity, message, evidence=evidence, remedy=remedy)


def _not_at_all(fit: Fit, evidence: Evidence, items: int) -> Finding:
    message = (
        f"No: after {fit.steps} steps on the same {items} items the loss is {fit.end:.3g} (it began at "
        f"{fit.start:.3g}), and Adam at {' and '.join(f'{rate:g}' for rate in _RATES)} does no better. Something in the "
        "model or the loss is broken."
    )
    remedy = Remedy(
        text=(
            "Check that the output layer fits the loss (logits for cross entropy, no ReLU before a regression target) "
            "and that every layer gets a gradient."
        ),
        code=(
            "x, y = next(iter(train_loader))\n"
            "loss_fn(model(x), y).backward()\n"
            "for name, p in model.named_parameters():\n"
            '    print(name, "no gradient" if p.grad is None else p.grad.norm().item())\n'
            "model.zero_grad()"
        ),
    )
    return finding(INFO, "error", message, evidence=evidence, remedy=remedy)


CHECK = Check(INFO, look, chart)
