"""Coding of columns, a kind a module: statistics from counts, and values from a known feature.

Plain functions on polars series and numpy arrays, of a whole column or a block of its rows.
"""
