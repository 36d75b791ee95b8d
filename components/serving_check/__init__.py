"""The serving check: a candidate has to answer in a process of its own."""
