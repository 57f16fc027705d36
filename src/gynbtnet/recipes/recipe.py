"""Recipe: every setting of an experiment, composed of the settings of its parts."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from gynbtnet.baselines.settings import NnUNetSettings
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.preparation.planning.settings import MAX_STRUCTURES, PlanSettings, check_names
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.settings import Settings
from gynbtnet.training.settings import PretrainingSettings, ProxyTaskSettings, SegmentationSettings


class SplitSettings(Settings):
    """Settings of the split. Patients are split, never their fractions."""

    test: float | int = Field(0.2, description="Share (below 1) or number of patients held out for the test.")
    folds: int = Field(5, ge=2, description="Cross-validation folds inside the training part.")
    fold: int = Field(0, ge=0, description="Fold whose patients validate the task stage.")
    seed: int = Field(0, ge=0, description="Seed of the split.")

    @field_validator("test")
    @classmethod
    def _holds_out_a_share_or_a_number(cls, test: float | int) -> float | int:
        if test < 0 or (isinstance(test, float) and test >= 1):
            raise ValueError("expected a share from 0 to below 1, or a whole number of patients")
        return test


class PretrainingStage(Settings):
    """Settings of stage 1: masked modelling on unlabelled scans."""

    validation: float = Field(0.15, ge=0, lt=1, description="Share of the scans' patients that validate.")
    plan: PlanSettings
    training: PretrainingSettings


class SwinPretrainingStage(Settings):
    """Settings of stage 1 of the baseline Swin-UNETR: its proxy tasks on unlabelled scans."""

    validation: float = Field(0.15, ge=0, lt=1, description="Share of the scans' patients that validate.")
    plan: PlanSettings
    training: ProxyTaskSettings


NETWORKS: dict[str, type[PretrainingStage] | type[SwinPretrainingStage]] = {
    "gynbtnet": PretrainingStage,
    "swin_unetr": SwinPretrainingStage,
}
"""Pretraining stage of each network."""


def _network_of(stage: Any) -> str:
    """Return the network of a stage or of its values; GynBTNet if they name no known network."""
    plan = stage.get("plan") if isinstance(stage, dict) else getattr(stage, "plan", None)
    network = plan.get("network") if isinstance(plan, dict) else getattr(plan, "network", None)
    return network if isinstance(network, str) and network in NETWORKS else "gynbtnet"


def stage_class(stage: Any) -> type[PretrainingStage] | type[SwinPretrainingStage]:
    """Return the class of settings that a pretraining stage needs for its plan's network."""
    return NETWORKS[_network_of(stage)]


AnyPretraining = Annotated[
    Annotated[PretrainingStage, Tag("gynbtnet")] | Annotated[SwinPretrainingStage, Tag("swin_unetr")],
    Discriminator(_network_of),
]


class SupervisedStage(Settings):
    """Settings of stage 2: many organs."""

    structures: tuple[str, ...] | None = Field(
        None, description="Structures to learn; null: all structures of the cohort."
    )
    validation: float = Field(0.2, ge=0, lt=1, description="Share of the patients that validate; 0: none.")
    plan: PlanSettings
    training: SegmentationSettings


class TaskStage(Settings):
    """Settings of stage 3: the clinic's own cohort."""

    plan: PlanSettings
    training: SegmentationSettings


class Recipe(Settings):
    """One experiment, from scans to report, or single stages of it.

    A stage may be null: it is omitted, and the next one starts without it. An experiment needs the stage ``task``.

    Attributes:
        split: test patients and folds.
        pretraining: stage 1, on scans without contours.
        supervised: stage 2, on public contours.
        task: stage 3, on the clinic's contours.
        prediction: settings of the prediction and its review.
    """

    name: str = Field(description="Name of the experiment and its models.")
    description: str = Field("", description="One paragraph for the report.")
    structures: tuple[str, ...] = Field((), description="Structures that the task stage segments, in label order.")
    priority: tuple[str, ...] = Field(
        (),
        description="Structures that get the voxels that they share with others, if outputs are exclusive; the first "
        "one wins over the next. The others: targets before organs, inner before outer targets, later before earlier.",
    )
    aliases: Path | None = Field(None, description="A file with a clinic's own ROI names.")
    split: SplitSettings = SplitSettings()
    pretraining: AnyPretraining | None = None
    supervised: SupervisedStage | None = None
    task: TaskStage | None = None
    nnunet: NnUNetSettings | None = Field(
        None, description="Settings of the baseline nnU-Net, which replaces all stages."
    )
    prediction: PredictionSettings = PredictionSettings()
    citations: tuple[str, ...] = Field((), description="Citations that are shown with all results on this data.")

    @field_validator("structures")
    @classmethod
    def _named_once(cls, structures: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(structures)) < len(structures):
            raise ValueError("expected each structure once")
        check_names("structures", structures, MAX_STRUCTURES)
        return structures

    @model_validator(mode="after")
    def _orders_its_structures(self) -> "Recipe":
        unknown = [name for name in self.priority if name not in self.structures]
        if unknown or len(set(self.priority)) < len(self.priority):
            raise ValueError(f"priority is {', '.join(self.priority)}; expected some of the structures, each once")
        return self

    @model_validator(mode="after")
    def _fits(self) -> "Recipe":
        if self.nnunet and (self.pretraining or self.supervised or self.task):
            raise ValueError("nnunet replaces the stages pretraining, supervised and task; omit these")
        if not (self.pretraining or self.supervised or self.task or self.nnunet):
            raise ValueError("expected at least one of the stages pretraining, supervised and task")
        if self.task and not self.structures:
            raise ValueError("the task stage needs structures, the list of structures that it segments")
        self._check_mirrored_axes()
        return self

    def _check_mirrored_axes(self) -> None:
        """Refuse mirrored axes of prediction that training doesn't mirror, before hours of training."""
        if self.nnunet:
            trained = self.nnunet.mirror_axes
        elif self.task:
            trained = self.task.training.mirror_axes if self.task.training.augmentation != "none" else ()
        else:
            return
        untrained = set(self.prediction.mirrored_axes or ()).difference(trained)
        if self.prediction.mirroring and untrained:
            raise ValueError(
                f"prediction mirrors {', '.join(sorted(untrained))}, which training doesn't; omit mirrored_axes from "
                "prediction, or add them to mirror_axes of training"
            )

    @property
    def expects_overlaps(self) -> bool:
        """True if the plan of the task stage asks for overlapping outputs."""
        return self.task is not None and self.task.plan.expects_overlaps

    def stage(self, name: str) -> Any:
        """Return the settings of a stage.

        Args:
            name: ``pretraining``, ``supervised`` or ``task``.

        Raises:
            BadInput: If the recipe omits the stage.
        """
        settings = getattr(self, name)
        if settings is None:
            raise BadInput(
                f"The recipe {self.name} has no {name} stage; choose another recipe, or add the stage to it."
            )
        return settings
