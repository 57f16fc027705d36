"""How good contours probably are: a DSC for each structure with its interval, learned from a cross-validation."""

import math
from dataclasses import dataclass
from pathlib import Path

from scipy.special import logit

from gynbtnet.inference.engine.mirroring import tta_axes
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.quality.dsc_regression import CalibratedDSC
from gynbtnet.inference.quality.structure_features import StructureFeatures
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.structure_volumes import StructureVolume
from gynbtnet.runtime.json_files import read_json, write_json

FILE = "quality.json"
_MOST_UNUSUAL = 5.0  # spreads; beyond, one patient would decide the slope
_CLIPPED = 0.01


@dataclass(frozen=True)
class PredictedDSC:
    """Of one structure on one scan.

    Attributes:
        structure: its id.
        dsc: what is expected.
        low, high: where it lies, see :mod:`gynbtnet.inference.quality.dsc_regression`.
    """

    structure: str
    dsc: float
    low: float
    high: float


@dataclass(frozen=True)
class StructureQuality:
    """What a cross-validation taught about one structure.

    Attributes:
        structure: its id.
        patients: in whom it was drawn and scored.
        volume: of the training, which a volume is compared with; None where too few have the structure.
        from_shape: the regression on volume, pieces and edges; None from too few patients.
        from_agreement: with the agreement of the single passes besides; None too where there was one pass.
    """

    structure: str
    patients: int
    volume: StructureVolume | None
    from_shape: CalibratedDSC | None
    from_agreement: CalibratedDSC | None


@dataclass(frozen=True)
class Quality:
    """What a cross-validation taught, ``quality.json`` beside its plan.

    Attributes:
        passes: those of the calibrated models, see :func:`tta_signature`. How far passes agree depends on which
            they are, so that agreement counts only where these are the same.
        structures: in the plan's order.
    """

    passes: str
    structures: tuple[StructureQuality, ...]

    def predict(self, figures: StructureFeatures, agreement: float, passes: str) -> PredictedDSC | None:
        """The DSC to expect of a structure; None where it wasn't drawn or its quality isn't calibrated.

        Args:
            figures: counted on its contours.
            agreement: of the single passes; NaN where it isn't known.
            passes: which they were.
        """
        found = next((one for one in self.structures if one.structure == figures.structure), None)
        if found is None or figures.volume_cm3 == 0:
            return None
        shape = shape_features(figures, found.volume)
        if found.from_agreement and passes == self.passes and not math.isnan(agreement):
            return PredictedDSC(figures.structure, *found.from_agreement.at((agreement_feature(agreement), *shape)))
        return PredictedDSC(figures.structure, *found.from_shape.at(shape)) if found.from_shape else None

    def save(self, folder: Path) -> None:
        """Write ``quality.json`` into ``folder``, whole."""
        write_json(self, Path(folder) / FILE)

    @classmethod
    def beside(cls, folder: Path) -> "Quality | None":
        """Read that of a model's folder; None where it has none.

        Raises:
            BadInput: where it is damaged.
        """
        path = Path(folder) / FILE
        remedy = "call `gynbtnet finetune --every-fold` again, or delete it to predict without it"
        return read_json(cls, path, remedy) if path.is_file() else None


def tta_signature(settings: PredictionSettings, plan: Plan, members: int = 1) -> str:
    """Name the single passes that are averaged: the number of members of an ensemble, and the mirrored axes.

    Raises:
        BadInput: If the settings ask for an axis that wasn't mirrored when the plan's network was trained.
    """
    axes = "".join(tta_axes(settings, plan.mirror_axes, "the model"))
    return f"{members}, mirrored {axes or 'nothing'}"


def agreement_feature(agreement: float) -> float:
    """The logit of the agreement, negative."""
    return -float(logit(min(max(agreement, _CLIPPED), 1 - _CLIPPED)))


def shape_features(figures: StructureFeatures, volume: StructureVolume | None) -> tuple[float, float, float]:
    """What looks bad about a structure that was drawn, larger being worse.

    How many spreads its volume lies from the mean of the training, 5 at most; the share outside the largest piece;
    whether it reaches the scan's edge.
    """
    unusual = min(abs(volume.score(figures.volume_cm3)), _MOST_UNUSUAL) if volume else 0.0
    return unusual, 1 - figures.main_share, float(bool(figures.edges))
