"""Implementations of the sparse layers for GPUs, written in Triton; used only if a self-check on the device agrees."""
