"""Shapes, tissues and textures of which the phantom consists."""
