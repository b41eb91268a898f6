"""Metrics of answers beside the truth, for training and for labels that come later."""
