"""Tests between models, adjustment for multiple comparisons, effects with intervals, and limits of agreement."""
