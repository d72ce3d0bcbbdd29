"""Comparisons: methods, budgets and seeds of one experiment."""
