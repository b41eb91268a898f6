"""Figures of all workers: gates, metrics, comparisons."""
