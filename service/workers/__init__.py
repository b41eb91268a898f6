"""Processes of the service: launcher, workers, their sockets and their end."""
