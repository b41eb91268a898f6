"""Tables to arrays: sources, columns, features, labels, splits."""
