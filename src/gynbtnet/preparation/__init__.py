"""Fingerprint, plan, resampling, normalisation, and the store that training reads patches from."""
