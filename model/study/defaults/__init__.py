"""The study of the defaults: real tables by a configuration without `[model]` and `[train]`."""
