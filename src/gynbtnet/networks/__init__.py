"""The residual U-Net, its presets, and the transfer of weights from stage to stage."""
