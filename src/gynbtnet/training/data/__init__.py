"""Batches of patches: crops, augmentation, mirroring."""
