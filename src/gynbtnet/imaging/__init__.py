"""What a scan is: volumes, their geometry, DICOM in and out, contours, structure names. Knows nothing of learning."""
