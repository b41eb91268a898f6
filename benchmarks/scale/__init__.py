"""Benchmark of large tables: reading, training, resuming and serving, each part beside its bar."""
