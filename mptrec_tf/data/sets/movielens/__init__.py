"""MovieLens: ratings of movies by people, ml-100k and ml-1m."""

__all__ = ["meanings", "original_ratings", "rows", "sample", "spec", "tfds_ratings"]
