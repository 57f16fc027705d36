"""What is mended in a structure's contours after they are drawn, as a plan says it."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class PostprocessingRule:
    """Of one structure; see :func:`gynbtnet.inference.quality.postprocessing.postprocess`.

    Attributes:
        structure: its id.
        largest_component: whether its largest piece alone is kept.
        minimum_cm3: pieces that are smaller are removed; 0 keeps all.
        fill_holes: whether holes in it are filled.

    Raises:
        ValueError: where a rule does nothing, or the volume is none.
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
        """What the rule does, for tables and notes."""
        words = [
            *(["largest component"] if self.largest_component else []),
            *([f"at least {self.minimum_cm3:g} cm³"] if self.minimum_cm3 else []),
            *(["holes filled"] if self.fill_holes else []),
        ]
        return ", ".join(words)
