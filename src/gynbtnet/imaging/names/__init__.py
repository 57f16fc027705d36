"""Comparison of ROI names: spelling, words around the name of a structure, and proposals for unknown names."""
