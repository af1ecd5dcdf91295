"""Checks of what goes in."""
