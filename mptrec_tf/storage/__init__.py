"""Files and directories that are written atomically and read with uniform errors."""
