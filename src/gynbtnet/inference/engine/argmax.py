"""Argmax over the outputs of a network, as labels."""

import torch
from torch import Tensor


def argmax_labels(logits: Tensor) -> Tensor:
    """Return the index of the highest output at every voxel, as uint8; the first index if several are equal.

    The result equals ``torch.argmax`` along the first axis. It is computed output by output, which is several times as
    fast on a CPU.

    Args:
        logits: (outputs, …).

    Returns:
        Labels of shape (…).
    """
    highest, labels = logits[0].float(), torch.zeros(logits.shape[1:], dtype=torch.uint8, device=logits.device)
    for output, values in enumerate(logits[1:], start=1):
        labels.masked_fill_(values > highest, output)
        highest = torch.maximum(highest, values)
    return labels
