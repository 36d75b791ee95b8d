"""Data sets: one module each, with its spec and its reader of raw rows."""
