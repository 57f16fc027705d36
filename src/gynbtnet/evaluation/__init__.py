"""How good the contours are: DSC, surface distances, doses, tables, overlays and the report page."""
