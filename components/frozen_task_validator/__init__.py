"""The frozen-task validator: a new task must leave all others as they were."""
