"""Training: losses, metrics, state, progress."""
