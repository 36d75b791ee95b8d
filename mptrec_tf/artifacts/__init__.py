"""Backbones and task packages on disk, which training writes and export reads.

backbones        `save_backbone`, `load_backbone`
task_packages    `save_package`, `load_package`
manifests        their descriptions, read without TensorFlow
"""

__all__ = ["backbones", "fingerprint", "manifests", "task_packages"]
