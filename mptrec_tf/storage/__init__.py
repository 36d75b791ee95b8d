"""Directories and files that appear whole or not at all, and are read back with one error style."""
