"""The frozen-task validator: a new task must not change any other."""
