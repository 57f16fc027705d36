"""Cost of a training run: what it has used of its budget and of its time."""
