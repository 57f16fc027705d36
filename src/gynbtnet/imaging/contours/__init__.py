"""Conversion between contours and masks: copies, nesting, keyholes, interpolation between slices."""
