"""Implementations of the sparse layers; the rules of a device choose among them."""
