"""Programs: they parse flags, call the package and print; no logic of their own."""
