"""TODO src/gynbtnet/inference/quality."""
