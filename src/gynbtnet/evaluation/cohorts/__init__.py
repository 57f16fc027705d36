"""Description of a cohort: overview, subgroups of cases, consistency over fractions, outliers, metal."""
