"""TODO src/gynbtnet/evaluation/reports."""
