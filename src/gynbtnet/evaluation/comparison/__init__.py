"""TODO src/gynbtnet/evaluation/comparison."""
