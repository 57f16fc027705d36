"""Pages about doses: of a cohort, and of each patient."""
