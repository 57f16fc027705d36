"""Export of a model as a MONAI Bundle."""
