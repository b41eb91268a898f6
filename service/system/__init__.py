"""The operating system and texts from outside: cores, files that others may change, quotations."""
