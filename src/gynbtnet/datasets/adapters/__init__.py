"""TODO src/gynbtnet/datasets/adapters."""
