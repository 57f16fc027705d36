"""nnU-Net as a baseline: the real one, called as a library on a cohort's own split."""
