"""Checks that may stand beside or below a cause, by what a fault looks like from outside."""

STUCK = frozenset({
    "no_learning", "slow_learning", "steep_then_flat", "constant_predictions", "one_batch_fit", "small_subset_fit",
    "loss_learnable", "label_alignment", "zero_input", "capacity", "simpler_baseline", "generalization_gap",
})  # fmt: skip
"""It does not get better than chance, or far less than it could."""

NO_SIGNAL = STUCK | {
    "vanishing_gradients",
    "gradient_flow",
    "update_ratio",
    "dead_units",
    "saturation",
    "weight_spread",
}
"""Nothing arrives at the weights."""

UNSTABLE = STUCK | {
    "divergence", "nonfinite", "exploding_gradients", "oscillation", "loss_spike", "update_ratio", "dead_units",
    "saturation", "weight_spread",
}  # fmt: skip
"""Too much arrives at the weights."""

BAD_START = UNSTABLE | {"initial_loss", "activation_scale"}
"""It starts far from where it should."""

OVERFIT = frozenset({"generalization_gap", "regularization_sweep", "metric_match", "worst_examples"})
"""Good on what it was trained on, bad elsewhere."""
