"""Which of a network's outputs is highest."""

import torch
from torch import Tensor


def argmax_labels(logits: Tensor) -> Tensor:
    """Of (outputs, …) the number of the highest output, the first of several, (…) as uint8.

    ``torch.argmax`` along the first axis, output by output: on a CPU several times as fast.
    """
    best, which = logits[0].float(), torch.zeros(logits.shape[1:], dtype=torch.uint8, device=logits.device)
    for output, values in enumerate(logits[1:], start=1):
        which.masked_fill_(values > best, output)
        best = torch.maximum(best, values)
    return which
