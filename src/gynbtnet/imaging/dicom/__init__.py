"""TODO src/gynbtnet/imaging/dicom."""
