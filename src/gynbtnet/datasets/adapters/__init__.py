"""Adapters: one file per dataset layout that can be ingested, listed in ``registry.py``."""
