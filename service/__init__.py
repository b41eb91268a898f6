"""Online half: serve an exported model with its gate weights."""
