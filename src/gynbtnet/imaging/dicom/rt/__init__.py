"""TODO src/gynbtnet/imaging/dicom/rt."""
