"""Configuration of a run, and its explanation."""
