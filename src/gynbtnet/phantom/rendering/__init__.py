"""TODO src/gynbtnet/phantom/rendering."""
