"""What a recipe holds: every setting of an experiment, composed of the settings that each part reads."""

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
    """Who is held out. Patients are divided, never their fractions."""

    test: float | int = Field(0.2, description="Share (below 1) or number of patients held out for the test.")
    folds: int = Field(5, ge=2, description="Cross-validation folds inside the training part.")
    fold: int = Field(0, ge=0, description="The fold whose patients validate the task stage.")
    seed: int = Field(0, ge=0, description="Decides who is held out.")


class PretrainingStage(Settings):
    """Stage 1: masked modelling on unlabelled scans."""

    validation: float = Field(0.15, ge=0, lt=1, description="Share of the scans' patients that validate.")
    plan: PlanSettings
    training: PretrainingSettings


class SwinPretrainingStage(Settings):
    """Stage 1 of the baseline Swin-UNETR: its proxy tasks on unlabelled scans."""

    validation: float = Field(0.15, ge=0, lt=1, description="Share of the scans' patients that validate.")
    plan: PlanSettings
    training: ProxyTaskSettings


NETWORKS: dict[str, type[PretrainingStage] | type[SwinPretrainingStage]] = {
    "gynbtnet": PretrainingStage,
    "swin_unetr": SwinPretrainingStage,
}
"""How each network is pretrained."""


def _network_of(stage: Any) -> str:
    """The network of a stage or of what one is to be made of; GynBTNet where that names none that there is."""
    plan = stage.get("plan") if isinstance(stage, dict) else getattr(stage, "plan", None)
    network = plan.get("network") if isinstance(plan, dict) else getattr(plan, "network", None)
    return network if isinstance(network, str) and network in NETWORKS else "gynbtnet"


def stage_class(stage: Any) -> type[PretrainingStage] | type[SwinPretrainingStage]:
    """The settings that a pretraining stage must have, by its plan's network."""
    return NETWORKS[_network_of(stage)]


AnyPretraining = Annotated[
    Annotated[PretrainingStage, Tag("gynbtnet")] | Annotated[SwinPretrainingStage, Tag("swin_unetr")],
    Discriminator(_network_of),
]


class SupervisedStage(Settings):
    """Stage 2: many organs."""

    structures: tuple[str, ...] | None = Field(None, description="Classes to learn; null: all that the cohort holds.")
    validation: float = Field(0.2, ge=0, lt=1, description="Share of the patients that validate; 0: none.")
    plan: PlanSettings
    training: SegmentationSettings


class TaskStage(Settings):
    """Stage 3: the clinic's own cohort."""

    plan: PlanSettings
    training: SegmentationSettings


class Recipe(Settings):
    """One experiment, from scans to report, or the stages of it that are run alone.

    A stage may be null: it is left out, and the next one starts without it. Only with ``task`` is it an experiment.
    """

    name: str = Field(description="How the experiment and its models are called.")
    description: str = Field("", description="One paragraph for the report.")
    structures: tuple[str, ...] = Field((), description="What the task stage contours, in label order.")
    aliases: Path | None = Field(None, description="A file with a clinic's own ROI names.")
    split: SplitSettings = SplitSettings()
    pretraining: AnyPretraining | None = None
    supervised: SupervisedStage | None = None
    task: TaskStage | None = None
    nnunet: NnUNetSettings | None = Field(None, description="The baseline nnU-Net in place of the task stage.")
    prediction: PredictionSettings = PredictionSettings()
    citations: tuple[str, ...] = Field((), description="Shown wherever results on this data are shown.")

    @field_validator("structures")
    @classmethod
    def _named_once(cls, structures: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(structures)) < len(structures):
            raise ValueError("expected each structure once")
        check_names("structures", structures, MAX_STRUCTURES)
        return structures

    @model_validator(mode="after")
    def _fits(self) -> "Recipe":
        if self.nnunet and (self.pretraining or self.supervised or self.task):
            raise ValueError("nnunet takes the place of the stages pretraining, supervised and task: leave them out")
        if not (self.pretraining or self.supervised or self.task or self.nnunet):
            raise ValueError("expected at least one of the stages pretraining, supervised and task")
        if self.task and not self.structures:
            raise ValueError("the task stage has to be told by structures what it contours")
        self._check_mirrored_axes()
        return self

    def _check_mirrored_axes(self) -> None:
        """See that prediction mirrors no axis that training doesn't, before hours are spent on the training."""
        if self.nnunet:
            trained = self.nnunet.mirror_axes
        elif self.task:
            trained = self.task.training.mirror_axes if self.task.training.augmentation != "none" else ()
        else:
            return
        untrained = set(self.prediction.mirrored_axes or ()).difference(trained)
        if self.prediction.mirroring and untrained:
            raise ValueError(
                f"prediction mirrors {', '.join(sorted(untrained))}, which training doesn't; leave mirrored_axes out "
                "of prediction, or add them to mirror_axes of the training"
            )

    def stage(self, name: str) -> Any:
        """The settings of a stage.

        Raises:
            BadInput: where the recipe leaves the stage out.
        """
        settings = getattr(self, name)
        if settings is None:
            raise BadInput(
                f"The recipe {self.name} has no {name} stage; choose another recipe, or add the stage to it."
            )
        return settings
