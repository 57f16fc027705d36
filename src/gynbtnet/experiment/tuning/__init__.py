"""Choice of settings on validation patients by successive halving."""
