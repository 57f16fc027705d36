"""Calibration on held-out predictions: post-processing, predicted DSC, accuracy of the failure flags."""
