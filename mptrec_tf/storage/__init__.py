"""Files and directories that are written atomically and read with uniform errors."""

__all__ = ["arrays", "directories", "file_systems", "json_files", "plain"]
