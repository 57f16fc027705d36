"""DICOM: headers, series, CT slices, pixel data, slice geometry, repairs, SEG."""
