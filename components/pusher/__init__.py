"""The pusher: the next version for TF Serving, whole or not at all, when everyone blessed it."""
