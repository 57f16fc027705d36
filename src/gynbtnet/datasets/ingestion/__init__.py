"""Ingestion: scans that an adapter found become a cohort on disk."""
