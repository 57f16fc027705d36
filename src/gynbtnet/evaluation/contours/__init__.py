"""Contours of a reader or of a model in any usual form, matched to the cases of a cohort."""
