"""TODO src/gynbtnet/inference/scans."""
