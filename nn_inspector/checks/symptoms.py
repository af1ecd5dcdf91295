"""Groups of checks that mostly see what another fault does: named here once, for `CheckInfo.explains`."""

from __future__ import annotations

NOT_LEARNING = (
    "no_learning",
    "slow_learning",
    "steep_then_flat",
    "constant_predictions",
    "one_batch_fit",
    "small_subset_fit",
    "zero_input",
    "training_length",
    "simpler_baseline",
)
"""The loss does not fall, or not far enough."""

UNSTABLE = ("divergence", "oscillation", "loss_spike", "exploding_gradients", "nonfinite")
"""The loss or the gradient jumps, grows or is lost."""

WEAK_SIGNAL = ("dead_units", "saturation", "vanishing_gradients", "activation_scale", "update_ratio", "weight_spread")
"""What goes through the network, or back through it, has an unusual size."""

ALL_SYMPTOMS = (*NOT_LEARNING, *UNSTABLE, *WEAK_SIGNAL)
"""What a fault in the data, the model, the loss or the loop may do to a training."""

OF_THE_LOOP = (
    *ALL_SYMPTOMS,
    "initial_loss",
    "label_alignment",
    "learning_rate",
    "batch_size",
    "optimizer_settings",
    "capacity",
    "loss_learnable",
    "loss_terms",
    "generalization_gap",
    "metric_match",
    "normalization",
)
"""What looks wrong as well where the code around the model is: whatever is judged by how far the training came."""
