"""TODO src/gynbtnet/preparation/planning."""
