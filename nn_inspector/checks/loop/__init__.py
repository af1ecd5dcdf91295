"""Checks of the code around the model."""

from nn_inspector.checks.base import Check
from nn_inspector.checks.loop import (
    data_mutation,
    gradient_flow,
    loss_reduction,
    optimizer_step,
    retained_state,
    scheduler,
    step_order,
    train_eval_mode,
    update_direction,
    zeroed_gradients,
)

CHECKS: tuple[Check, ...] = (
    zeroed_gradients.CHECK,
    optimizer_step.CHECK,
    step_order.CHECK,
    train_eval_mode.CHECK,
    gradient_flow.CHECK,
    update_direction.CHECK,
    loss_reduction.CHECK,
    scheduler.CHECK,
    retained_state.CHECK,
    data_mutation.CHECK,
)
"""In the order in which they are made."""
