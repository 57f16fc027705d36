"""Scores of one case: DSC, surface distances, centroids, and their tables."""
