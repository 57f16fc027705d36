"""TODO src/gynbtnet/training/objectives."""
