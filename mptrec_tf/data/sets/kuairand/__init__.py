"""KuaiRand-Pure: videos that Kuaishou showed, by its own choice and at random."""

__all__ = ["rows", "sample", "spec"]
