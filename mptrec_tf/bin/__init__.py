"""Programs: they parse flags, call the package and print; no logic of their own.

setup.py lists them as commands. Other packages use the modules below to build their own programs.
"""

__all__ = ["data_flags", "format_flags", "gate_flags", "output_files", "program", "shape_flags"]
