"""Post-processing rules of a plan."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class PostprocessingRule:
    """Post-processing of one structure; see :func:`gynbtnet.inference.quality.postprocessing.postprocess`.

    Attributes:
        structure: its identifier.
        largest_component: whether only the largest connected component is kept.
        minimum_cm3: smaller connected components are removed; 0 keeps all.
        fill_holes: whether its holes are filled.

    Raises:
        ValueError: If the rule does nothing, or the volume is not a valid one.
    """

    structure: str
    largest_component: bool = False
    minimum_cm3: float = 0.0
    fill_holes: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.minimum_cm3) and self.minimum_cm3 >= 0):
            raise ValueError(f"minimum_cm3 is a volume in cm³, not {self.minimum_cm3}")
        if not (self.largest_component or self.minimum_cm3 or self.fill_holes):
            raise ValueError(f"a rule for {self.structure} that does nothing")

    @property
    def words(self) -> str:
        """Description of the rule for tables and notes."""
        words = [
            *(["largest component"] if self.largest_component else []),
            *([f"at least {self.minimum_cm3:g} cm³"] if self.minimum_cm3 else []),
            *(["holes filled"] if self.fill_holes else []),
        ]
        return ", ".join(words)
