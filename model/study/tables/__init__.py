"""Studies on real tables."""
