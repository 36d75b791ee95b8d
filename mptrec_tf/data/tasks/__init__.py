"""Kinds of tasks: how a raw column makes a label, what is learnt of it, and how it is judged."""
