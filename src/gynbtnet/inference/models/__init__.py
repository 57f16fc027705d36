"""TODO src/gynbtnet/inference/models."""
