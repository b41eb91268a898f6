"""Benchmarks: a client of the service only."""
