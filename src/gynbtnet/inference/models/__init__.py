"""Models: run folders, ensembles, zip files, backends, and exports to nnU-Net, ONNX and STU-Net."""
