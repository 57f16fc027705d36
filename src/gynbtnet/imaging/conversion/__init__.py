"""Conversion of scans, contours and doses between file formats."""
