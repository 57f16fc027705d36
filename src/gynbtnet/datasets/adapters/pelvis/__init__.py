"""Layouts of public archives with contours of pelvic organs."""
