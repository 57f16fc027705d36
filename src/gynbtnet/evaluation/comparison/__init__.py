"""Comparison of models on the same cases: tests, tables, box plots, report page."""
