"""Checks of the training while it runs."""
