"""Renewal: a new backbone on new rows, with every task of the model in production carried over.

A backbone is frozen, and what it was trained on gets old.

generations   which versions have which backbone, and what each renews
plan          `make_plan`: what the model in production consists of, and how it is trained anew
refresh       `refresh`: does it, from raw rows to a candidate
warm_start    the new backbone begins with the weights of the old one
warm_head     the heads of added tasks begin with theirs
verdict       `judge`: whether the candidate may take production's place
"""

__all__ = ["generations", "plan", "refresh", "verdict", "warm_head", "warm_start"]
