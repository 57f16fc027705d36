"""TODO src/gynbtnet/runtime."""
