"""TODO src/gynbtnet/evaluation/metrics."""
