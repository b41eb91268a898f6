"""The hot path, and all that rests on uvicorn's private classes."""
