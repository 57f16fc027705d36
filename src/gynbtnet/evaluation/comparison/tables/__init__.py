"""Tables of a comparison of models."""
