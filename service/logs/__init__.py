"""Logs, records of requests and predictions, traces."""
