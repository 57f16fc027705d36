"""Optimiser, learning-rate schedule and averaged weights of a training run."""
