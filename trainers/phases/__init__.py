"""What a run does, phase by phase: search, training, measuring."""
