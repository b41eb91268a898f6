"""Command lines: arguments to one call."""
