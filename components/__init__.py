"""TFX components: what pipelines need beside TFX's own, each in a folder of its own."""
