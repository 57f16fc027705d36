"""TODO src/gynbtnet/inference/engine."""
