"""Census-Income (KDD), UCI 117: the data set of the paper."""

__all__ = ["rows", "spec"]
