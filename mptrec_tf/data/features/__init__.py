"""Features: a module for each kind, and a line in the registry."""
