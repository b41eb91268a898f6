"""Stored rows beside the service: tables scored by a model file, on one machine or on Ray."""
