"""Checks of the code around the model."""
