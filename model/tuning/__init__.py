"""Search for a configuration that does better on the validation rows of a table."""
