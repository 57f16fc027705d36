"""TODO src/gynbtnet/datasets/ingestion."""
