"""Checks of whether the network can learn at all."""
