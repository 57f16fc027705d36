"""Dose in structures: DVH, D90 and D2cc, EQD2 of a course, planning aims, the dose report."""
