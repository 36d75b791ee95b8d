"""The serving check: a candidate has to predict in a process of its own."""
