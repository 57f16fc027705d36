"""Scans to predict: search, reading, checks, output names."""
