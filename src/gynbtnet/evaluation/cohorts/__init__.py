"""What a cohort holds and which of its values stand out: subgroups, fractions, outliers, metal."""
