"""TODO src/gynbtnet/phantom/anatomy."""
