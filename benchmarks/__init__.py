"""What nn_inspector costs, and how well it diagnoses. Not part of the package; run from a checkout."""
