"""Studies: the paper's claims and processes."""
