"""TODO src/gynbtnet/evaluation/calibration."""
