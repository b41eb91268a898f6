"""Export: graph, manifest, parity, publishing, report."""
