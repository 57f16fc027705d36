"""One engine for the three stages: batches, augmentation, objectives, checkpoints, run folders."""
