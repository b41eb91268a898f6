"""Rows in, answers out: features, batches, runs, sessions, inspection."""
