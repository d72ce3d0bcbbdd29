"""Experiments: one per file, values only."""
