"""Sections of a report page on contours, one per module, as HTML."""
