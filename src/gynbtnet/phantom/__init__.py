"""Synthetic female pelves, with and without a brachytherapy implant, as cases and as DICOM RT or NIfTI cohorts.

They allow every step to be tried and tested without patient data.
"""
