"""Pictures of scans: anatomical planes, contours on them, a figure as a PNG with words."""
