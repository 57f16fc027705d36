"""How good the contours are: DSC, HD95, ASD, tables, overlays and the report page."""
