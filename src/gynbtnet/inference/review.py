"""Review of a model's output: post-processing, failure flags and predicted DSC."""

import hashlib
import math

from gynbtnet.inference.engine.segmenter import SegmentationResult, Segmenter
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.prediction import Prediction
from gynbtnet.inference.quality.failure_flags import failure_flags
from gynbtnet.inference.quality.postprocessing import postprocess
from gynbtnet.inference.quality.structure_features import structure_features

_NOTHING = "No structure was found: the contours are empty."


def review_segmentation(model: Segmenter, result: SegmentationResult, settings: PredictionSettings) -> Prediction:
    """Post-process a model's output, flag possible failures and predict the DSC of each structure.

    The rules, reference volumes and calibration of the model are used. A model without a plan has none, so its
    structures are only flagged.

    Args:
        model: model that made ``result``.
        result: its output for one scan.
        settings: threshold below which a predicted DSC calls for a review.

    Returns:
        The post-processed structures with agreement, flags and predicted DSC.
    """
    plan, quality = model.plan, model.quality
    segmentation = postprocess(result.segmentation, plan.postprocessing, plan.nesting) if plan else result.segmentation
    features = structure_features(segmentation)
    volumes = {feature.structure: feature.volume_cm3 for feature in features}
    return Prediction(
        segmentation=segmentation,
        volumes_cm3=volumes,
        agreement=result.agreement,
        flags=failure_flags(segmentation, result.agreement, features, plan.volumes if plan else ()),
        predicted_dsc={
            feature.structure: quality.predict(
                feature, result.agreement.get(feature.structure, math.nan), result.tta_signature
            )
            if quality
            else None
            for feature in features
        },
        review_dsc_threshold=settings.review_dsc_threshold,
        warnings=() if any(volumes.values()) else (_NOTHING,),
    )


def rules_sha256(model: Segmenter) -> str:
    """Return the SHA-256 of everything except the weights that determines the review.

    These are reference volumes, post-processing rules and calibration. A model without a plan has none of them: digest
    of the empty string.
    """
    if model.plan is None:
        return hashlib.sha256().hexdigest()
    nesting = (model.plan.nesting,) if model.plan.nesting.pairs else ()
    rules = (model.plan.volumes, model.plan.postprocessing, model.quality, *nesting)
    return hashlib.sha256(repr(rules).encode()).hexdigest()
