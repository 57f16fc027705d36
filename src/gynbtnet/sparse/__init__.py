"""Block-sparse submanifold convolution, and the masked autoencoder of stage 1 that uses it."""
