"""Experiments: one a file, values only."""
