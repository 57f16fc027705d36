"""The prediction of one scan: its structures, and everything that a user should know about them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.inference.quality.failure_flags import Flag
from gynbtnet.inference.quality.predicted_dsc import PredictedDSC


@dataclass(frozen=True)
class Prediction:
    """Predicted structures of one scan, after post-processing.

    Attributes:
        segmentation: labels on the scan's own grid.
        volumes_cm3: volume by structure.
        agreement: by structure the mean Dice coefficient of the forward passes with their mean; NaN if it is unknown.
        flags: possible failures in single structures.
        predicted_dsc: expected DSC by structure; None if the structure is empty or its DSC is not calibrated.
        review_dsc_threshold: a structure needs a review if its DSC may be below this value, or if it is empty.
        notes: one sentence for each choice or repair that was made when the scan was read.
        warnings: one sentence for each property of the scan that may impair the prediction.
    """

    segmentation: Segmentation
    volumes_cm3: Mapping[str, float]
    agreement: Mapping[str, float]
    flags: tuple[Flag, ...]
    predicted_dsc: Mapping[str, PredictedDSC | None]
    review_dsc_threshold: float
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def structures(self) -> tuple[str, ...]:
        """Structures of the model, in label order."""
        return self.segmentation.structures

    @property
    def missing(self) -> tuple[str, ...]:
        """Structures without a voxel."""
        return tuple(structure for structure in self.structures if self.volumes_cm3[structure] == 0)

    def known_agreement(self, structure: str) -> float | None:
        """Return the agreement of the forward passes on a structure; None if it is unknown."""
        agreement = self.agreement.get(structure, math.nan)
        return None if math.isnan(agreement) else agreement

    def needs_review(self, structure: str) -> bool | None:
        """Return whether a structure should be reviewed first; None if its quality is unknown.

        An empty structure always needs a review.
        """
        if structure in self.missing:
            return True
        predicted = self.predicted_dsc.get(structure)
        return None if predicted is None else predicted.low < self.review_dsc_threshold

    @property
    def remarks(self) -> dict[str, str]:
        """Return the text for the ROI Description of an RTSTRUCT, by structure; empty if there is nothing to report."""
        remarks = {}
        for structure, predicted in self.predicted_dsc.items():
            sentences = ["REVIEW."] if self.needs_review(structure) else []
            if predicted is not None:
                sentences.append(
                    f"Predicted DSC {predicted.dsc:.2f} (likely {predicted.low:.2f} to {predicted.high:.2f})."
                )
            sentences += [flag.sentence for flag in self.flags if flag.structure == structure]
            remarks[structure] = " ".join(sentences)
        return remarks

    @property
    def summary(self) -> str:
        """Return the text on all structures for the Structure Set Description of an RTSTRUCT."""
        to_review = [structure for structure in self.predicted_dsc if self.needs_review(structure)]
        flagged = list(dict.fromkeys(flag.structure for flag in self.flags))
        unknown = [structure for structure in self.predicted_dsc if self.needs_review(structure) is None]
        names = StructureNames.load()
        sentences = [
            f"{heading}: {', '.join(map(names.display_name, structures))}."
            for heading, structures in (("Review", to_review), ("Flagged", flagged), ("No predicted DSC", unknown))
            if structures
        ]
        return " ".join(sentences) or "No flags."
