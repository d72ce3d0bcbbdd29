"""Tuning: many runs of one experiment, each a trial."""
