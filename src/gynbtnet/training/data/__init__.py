"""TODO src/gynbtnet/training/data."""
