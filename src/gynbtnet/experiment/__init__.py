"""Whole experiments: ingestion, training stages, cross-validation, comparison of models, report pages."""
