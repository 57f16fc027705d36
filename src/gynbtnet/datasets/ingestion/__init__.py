"""From scans that an adapter found to a cohort on disk: identity, fractions, applicators, notes, the dry run."""
