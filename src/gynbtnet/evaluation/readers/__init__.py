"""Several readers of the same cases: their contours and their ratings, next to those of the model."""
