"""Training: one loop for the three stages, with their batches, augmentation, objectives, checkpoints and run folders.

The names below are the public ones. Each is imported when it is first used.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.training.allocator import keep_freed_memory
    from gynbtnet.training.budget import Budget
    from gynbtnet.training.cost.run_cost import TrainingCost, training_cost
    from gynbtnet.training.data.augmentation import Augmentation
    from gynbtnet.training.data.batches import Batch, Batches, load_batches
    from gynbtnet.training.objectives.losses import deeply_supervised, dice_ce, masked_l2
    from gynbtnet.training.objectives.masked_modelling_objective import MaskedModellingObjective
    from gynbtnet.training.objectives.objective import Objective
    from gynbtnet.training.objectives.segmentation_objective import SegmentationObjective
    from gynbtnet.training.optimisation.schedule import scheduled_rate
    from gynbtnet.training.planned_network import build_network, build_proxy_network
    from gynbtnet.training.recording.learned_from import LearnedFrom, LearnedReview
    from gynbtnet.training.renamed_settings import RENAMED_SETTINGS
    from gynbtnet.training.run_folder import LEGACY_VALUES, RunFolder
    from gynbtnet.training.settings import (
        PretrainingSettings,
        ProxyTaskSettings,
        SegmentationSettings,
        TrainingSettings,
    )
    from gynbtnet.training.stages import finetune, pretrain
    from gynbtnet.training.training_data import TrainingData
    from gynbtnet.training.training_scans import TrainingScans

__all__ = [
    "LEGACY_VALUES",
    "RENAMED_SETTINGS",
    "Augmentation",
    "Batch",
    "Batches",
    "Budget",
    "LearnedFrom",
    "LearnedReview",
    "MaskedModellingObjective",
    "Objective",
    "PretrainingSettings",
    "ProxyTaskSettings",
    "RunFolder",
    "SegmentationObjective",
    "SegmentationSettings",
    "TrainingCost",
    "TrainingData",
    "TrainingScans",
    "TrainingSettings",
    "build_network",
    "build_proxy_network",
    "deeply_supervised",
    "dice_ce",
    "finetune",
    "keep_freed_memory",
    "load_batches",
    "masked_l2",
    "pretrain",
    "scheduled_rate",
    "training_cost",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "allocator": ["keep_freed_memory"],
        "budget": ["Budget"],
        "data.augmentation": ["Augmentation"],
        "data.batches": ["Batch", "Batches", "load_batches"],
        "objectives.losses": ["deeply_supervised", "dice_ce", "masked_l2"],
        "objectives.masked_modelling_objective": ["MaskedModellingObjective"],
        "objectives.objective": ["Objective"],
        "objectives.segmentation_objective": ["SegmentationObjective"],
        "planned_network": ["build_network", "build_proxy_network"],
        "recording.learned_from": ["LearnedFrom", "LearnedReview"],
        "renamed_settings": ["RENAMED_SETTINGS"],
        "run_folder": ["LEGACY_VALUES", "RunFolder"],
        "optimisation.schedule": ["scheduled_rate"],
        "settings": ["PretrainingSettings", "ProxyTaskSettings", "SegmentationSettings", "TrainingSettings"],
        "stages": ["finetune", "pretrain"],
        "training_data": ["TrainingData"],
        "training_scans": ["TrainingScans"],
        "cost.run_cost": ["TrainingCost", "training_cost"],
    },
)
