"""Byte-Rec (ICME 2019 challenge, track 2): short videos that were finished and liked."""

__all__ = ["rows", "sample", "spec"]
