"""TODO src/gynbtnet/phantom/shapes."""
