"""Quality of a prediction: connected components, post-processing, failure flags, predicted DSC."""
