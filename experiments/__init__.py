"""Measurements and comparisons that the documentation quotes; each number has a command."""
