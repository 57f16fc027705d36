"""TODO src/gynbtnet/imaging/files."""
