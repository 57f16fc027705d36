"""TODO src/gynbtnet/evaluation/dose."""
