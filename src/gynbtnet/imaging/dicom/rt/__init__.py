"""DICOM RT objects: RTSTRUCT and RTDOSE, in and out."""
