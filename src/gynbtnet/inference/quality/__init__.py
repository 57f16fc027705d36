"""How good a prediction is: connected components, post-processing, failure flags, predicted DSC."""
