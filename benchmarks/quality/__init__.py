"""Is sharing worth its ensemble? Regimes, variants, runs and their summary."""
