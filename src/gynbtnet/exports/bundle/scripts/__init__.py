"""Code of an exported bundle: needs PyTorch, MONAI, SciPy and safetensors, and not GynBTNet."""
