"""Shapes and textures that the phantom is painted from."""
