"""The preprocessing graph, fitted by TensorFlow Transform and part of every SavedModel."""
