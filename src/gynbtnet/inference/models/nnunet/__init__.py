"""Folders that nnU-Net 2 trained, predicted without nnU-Net."""
