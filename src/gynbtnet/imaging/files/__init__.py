"""Image files: NIfTI, NRRD and MetaImage headers, their voxels, and names of labels."""
