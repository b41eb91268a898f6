"""Retraining loop: the next version trained, compared, let in by steps, served or rolled back."""
