"""TODO src/gynbtnet/imaging/contours."""
