"""Bytes to batches, and results to bytes."""
