"""Records of a training while it runs: metrics of each epoch, and pictures."""
