"""TODO src/gynbtnet/experiment."""
