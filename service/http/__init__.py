"""HTTP transport: parse, call the engine, render."""
