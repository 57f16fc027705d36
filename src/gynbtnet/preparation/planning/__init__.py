"""The plan: fingerprint, spacing, patch and batch, memory estimates, and the plan as nnU-Net writes it."""
