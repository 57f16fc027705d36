"""Whether models differ: tests, their adjustment, effects with intervals, and agreement of two measurements."""
