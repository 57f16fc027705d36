"""Models beside each other on the same cases: tests, tables, box plots, the comparison report."""
