"""Memory-lean form of GynBTNet for prediction on a CPU: same parameters, same results to rounding."""
