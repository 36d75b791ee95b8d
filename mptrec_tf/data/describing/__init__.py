"""Drafts a spec from files: samples rows, measures columns, guesses what they are, writes YAML."""

__all__ = ["columns", "draft", "guesses", "labels", "renderers", "sample", "text_guess"]
