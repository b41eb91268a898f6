"""Versions of models: found, checked, staged, swapped and compared."""
