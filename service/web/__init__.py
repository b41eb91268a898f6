"""The dashboard: static files served by the service."""
