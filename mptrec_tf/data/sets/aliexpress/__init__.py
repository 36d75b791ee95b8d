"""AliExpress: searches in four countries, clicks and conversions."""

__all__ = ["rows", "sample", "spec"]
