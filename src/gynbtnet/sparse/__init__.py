"""Block-sparse submanifold convolution and the masked autoencoder that runs the encoder with it."""
