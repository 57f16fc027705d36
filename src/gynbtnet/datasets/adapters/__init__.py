"""One file per archive or folder layout that is ingested."""
