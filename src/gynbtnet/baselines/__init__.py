"""nnU-Net as a baseline: nnU-Net itself, called as a library on the split of a cohort."""
