"""TODO src/gynbtnet/evaluation/cohorts."""
