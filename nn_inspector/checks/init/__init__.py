"""Checks of the network before its first step."""
