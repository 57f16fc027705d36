"""Contours after they are drawn: mended, flagged, and with the DSC to expect; and the words that say so."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.inference.engine.contours import Prediction
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.ensemble import Ensemble
from gynbtnet.inference.models.model import Model
from gynbtnet.inference.quality.failure_flags import Flag, failure_flags
from gynbtnet.inference.quality.postprocessing import postprocess
from gynbtnet.inference.quality.predicted_dsc import PredictedDSC, Quality, tta_signature
from gynbtnet.inference.quality.structure_features import structure_features
from gynbtnet.preparation.planning.plan import Plan


@dataclass(frozen=True)
class Review:
    """What is handed on of one scan.

    Attributes:
        segmentation: mended by the plan's rules.
        flags: what a human should look at.
        predicted: the DSC to expect of each structure; None where it wasn't drawn or isn't calibrated.
        review_below: a structure whose interval reaches below it is called to review, as is one that wasn't drawn.
    """

    segmentation: Segmentation
    flags: tuple[Flag, ...]
    predicted: Mapping[str, PredictedDSC | None]
    review_below: float

    def to_review(self, structure: str) -> bool | None:
        """Whether a structure is called to review; None where nothing is known of its quality."""
        if any(flag.structure == structure and flag.kind == "missing" for flag in self.flags):
            return True
        expected = self.predicted[structure]
        return None if expected is None else expected.low < self.review_below

    @property
    def remarks(self) -> dict[str, str]:
        """Remark per structure for ROI Descriptions and the preview, verdict first; empty if there is none."""
        found = {}
        for structure, expected in self.predicted.items():
            words = ["REVIEW."] if self.to_review(structure) else []
            if expected is not None:
                words.append(f"Predicted DSC {expected.dsc:.2f} (likely {expected.low:.2f} to {expected.high:.2f}).")
            words += [flag.sentence for flag in self.flags if flag.structure == structure]
            found[structure] = " ".join(words)
        return found

    @property
    def summary(self) -> str:
        """Short text on all structures, for the Structure Set Description of an RTSTRUCT and the title of a preview."""
        called = [structure for structure in self.predicted if self.to_review(structure)]
        flagged = list(dict.fromkeys(flag.structure for flag in self.flags))
        unknown = [structure for structure in self.predicted if self.to_review(structure) is None]
        names = StructureNames.load()
        sentences = [
            f"{heading}: {', '.join(map(names.display_name, structures))}."
            for heading, structures in (("Review", called), ("Flagged", flagged), ("No predicted DSC", unknown))
            if structures
        ]
        return " ".join(sentences) or "No flags."


def review(
    contours: Prediction,
    plan: Plan | None,
    quality: Quality | None,
    *,
    passes: str,
    review_below: float,
) -> Review:
    """Mend contours by the plan's rules, flag them, and predict their DSC.

    Args:
        contours: as they were drawn.
        plan: the model's; None for another's model, whose contours are only flagged.
        quality: that of the cross-validation; None where there was none.
        passes: those that were averaged, see :func:`gynbtnet.inference.quality.predicted_dsc.tta_signature`.
        review_below: the DSC below which no interval should reach, see
            :class:`~gynbtnet.inference.engine.settings.PredictionSettings`.
    """
    mended = postprocess(contours.segmentation, plan.postprocessing) if plan else contours.segmentation
    figures = structure_features(mended)
    return Review(
        segmentation=mended,
        flags=failure_flags(Prediction(mended, contours.agreement), figures, plan.volumes if plan else ()),
        predicted={
            one.structure: quality.predict(one, contours.agreement.get(one.structure, float("nan")), passes)
            if quality
            else None
            for one in figures
        },
        review_below=review_below,
    )


def review_of(model: Segmenter, contours: Prediction, settings: PredictionSettings) -> Review:
    """:func:`review` by what our model's plan says and its quality; another's model is flagged alone."""
    if not isinstance(model, Model | Ensemble):
        return review(contours, None, None, passes="", review_below=settings.review_below)
    members = len(model.members[: settings.folds]) if isinstance(model, Ensemble) else 1
    return review(
        contours,
        model.plan,
        model.quality,
        passes=tta_signature(settings, model.plan, members),
        review_below=settings.review_below,
    )


def rules_sha256(model: Segmenter) -> str:
    """Of all that a review of our model's contours goes by besides its weights; of another's, of nothing."""
    if not isinstance(model, Model | Ensemble):
        return hashlib.sha256().hexdigest()
    goes_by = (model.plan.volumes, model.plan.postprocessing, model.quality)
    return hashlib.sha256(repr(goes_by).encode()).hexdigest()
