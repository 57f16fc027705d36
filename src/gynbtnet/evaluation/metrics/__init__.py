"""Scores of contours: DSC, surface distances, volumes, centroids, and their tables."""
