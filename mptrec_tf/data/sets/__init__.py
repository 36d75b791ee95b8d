"""Named data sets, a folder each: what its columns are, how its original files are read, a sample.

The module `spec` of a folder is the line in the registry: features, tasks, options, and where it
comes from; it imports no TensorFlow. `rows` reads it, and `sample` writes files of its shape.
"""

__all__ = [
    "ali_ccp",
    "aliexpress",
    "byte_rec",
    "census_income",
    "data_set",
    "downloads",
    "kuairand",
    "movielens",
    "original_files",
    "planted",
    "registry",
    "synthetic",
    "synthetic_days",
    "synthetic_logs",
    "tfds_builders",
]
