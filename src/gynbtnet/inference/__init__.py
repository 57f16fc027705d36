"""From a scan to contours: sliding window, back to the scan's own grid, files for the clinic."""
