"""Contours and masks: polygons to voxels and back, copies, nesting, interpolation between slices."""
