"""Inference over a dataset."""

from collections.abc import Callable
from typing import Any

import torch
from monai.data import Dataset
from torch import nn


class ScanEvaluator:
    """Predict every scan of a dataset and save its labels.

    Args:
        dataset: scans with the keys ``image``, ``image_grid`` and ``image_body``.
        network: network in evaluation mode.
        inferer: sliding window.
        postprocessing: from logits to labels on the grid of the file.
        save: transform that writes the labels.
        device: device of the network.
    """

    def __init__(
        self,
        dataset: Dataset,
        network: nn.Module,
        inferer: Callable[..., Any],
        postprocessing: Callable[..., Any],
        save: Callable[[Any], Any],
        device: torch.device,
    ) -> None:
        self.dataset, self.network, self.device = dataset, network, device
        self.inferer, self.postprocessing, self.save = inferer, postprocessing, save

    def run(self) -> None:
        """Predict and save all scans, one after the other."""
        if not len(self.dataset):
            raise ValueError("there is no scan in dataset_dir; expected files that end in .nii.gz")
        for scan in self.dataset:
            grid = torch.from_numpy(scan["image_grid"])[None].to(self.device)
            with torch.inference_mode():
                logits, box = self.inferer(grid, self.network, body=scan["image_body"])
            self.save(self.postprocessing(logits, box, grid.shape[2:], scan["image"]))
