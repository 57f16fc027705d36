"""A synthetic female pelvis after implant: the embedded default cohort, as cases and as DICOM RT."""
