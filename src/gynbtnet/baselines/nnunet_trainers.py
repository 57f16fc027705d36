"""Trainer classes of nnU-Net by name, and their optimiser with the settings of a recipe."""

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gynbtnet.baselines.settings import NnUNetSettings
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.optional_dependencies import require

_BASE = "nnUNetTrainer"
_MODULE = "nnunetv2.training.nnUNetTrainer"
_CLASS = re.compile(r"^class\s+(nnUNetTrainer\w*)\s*\(", re.MULTILINE)
_FIXED_LENGTH = re.compile(r"_\d+ep(ochs?)?(?![a-zA-Z])|benchmark", re.IGNORECASE)
_EXAMPLES = (
    "nnUNetTrainer",
    "nnUNetTrainerAdam",
    "nnUNetTrainerNoMirroring",
    "nnUNetTrainer_DASegOrd0",
    "nnUNetTrainerDA5",
    "nnUNetTrainerCosAnneal",
    "nnUNetTrainerNoDeepSupervision",
)


def trainer_modules() -> Mapping[str, str]:
    """Return the module of each trainer class that a recipe may name, without importing any of them.

    These are nnU-Net's trainer and its variants. Variants whose name sets the number of epochs are omitted, since
    ``epochs`` does that.

    Raises:
        BadInput: If nnU-Net isn't installed.
    """
    require("nnunet", "nnunetv2")
    spec = find_spec("nnunetv2")
    assert spec is not None
    modules = {_BASE: f"{_MODULE}.{_BASE}"}
    for location in spec.submodule_search_locations or ():
        folder = Path(location) / "training" / _BASE
        for path in sorted((folder / "variants").rglob("*.py")):
            module = ".".join((_MODULE, *path.relative_to(folder).with_suffix("").parts))
            names = _CLASS.findall(path.read_text(encoding="utf-8"))
            modules |= {name: module for name in names if not _FIXED_LENGTH.search(name)}
    return modules


def check_trainer(name: str) -> None:
    """Check that nnU-Net has a trainer of this name.

    Raises:
        BadInput: If it hasn't, or nnU-Net isn't installed.
    """
    known = trainer_modules()
    if name not in known:
        examples = ", ".join(example for example in _EXAMPLES if example in known)
        length = " The number of epochs is the setting epochs." if _FIXED_LENGTH.search(name) else ""
        raise BadInput(f"nnunetv2 has no trainer {name!r} that can be used here; expected, e.g., {examples}.{length}")


def find_trainer(name: str) -> Any:
    """Import a trainer class by its name; nnU-Net's own search would import every variant, and torchvision.

    Args:
        name: name of the class.

    Raises:
        BadInput: If nnU-Net has no trainer of this name, or isn't installed.
    """
    check_trainer(name)
    return getattr(import_module(trainer_modules()[name]), name)


def configure_optimiser(trainer: Any, settings: NnUNetSettings) -> None:
    """Give a trainer that isn't initialised yet the optimiser, rate, weight decay and momentum of the settings.

    A value that the settings don't give stays the trainer's own.

    Args:
        trainer: instance of a trainer class; its attributes are set, as nnU-Net intends.
        settings: settings of the baseline.
    """
    if settings.learning_rate is not None:
        trainer.initial_lr = settings.learning_rate
    if settings.weight_decay is not None:
        trainer.weight_decay = settings.weight_decay
    trainer.configure_optimizers = _configured(trainer, trainer.configure_optimizers, settings)


def _configured(trainer: Any, configure: Callable[..., Any], settings: NnUNetSettings) -> Callable[..., Any]:
    """Return nnU-Net's function that makes optimiser and schedule, with the optimiser of the settings."""

    def configure_optimizers(*arguments: Any) -> tuple[Any, Any]:
        if settings.optimiser is None:
            try:
                optimizer, schedule = configure(*arguments)
            except RuntimeError as error:  # a library for the optimiser is absent
                raise BadInput(f"{type(trainer).__name__} can't make its optimiser: {error}") from error
        else:
            optimizer, schedule = _replaced(trainer, settings)
        if settings.momentum is not None:
            for group in optimizer.param_groups:
                if "momentum" not in group:
                    raise BadInput(
                        f"momentum is a setting of SGD, but {type(trainer).__name__} uses {type(optimizer).__name__}; "
                        "omit momentum, or use another trainer."
                    )
                group["momentum"] = settings.momentum
        return optimizer, schedule

    return configure_optimizers


def _replaced(trainer: Any, settings: NnUNetSettings) -> tuple[Any, Any]:
    """Return the optimiser of the settings, with nnU-Net's schedule."""
    from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
    from torch.optim import SGD, AdamW

    if type(trainer).configure_optimizers is not find_trainer(_BASE).configure_optimizers:
        raise BadInput(
            f"optimiser is {settings.optimiser}, but {type(trainer).__name__} has its own optimiser or schedule; "
            "omit optimiser, or use another trainer."
        )
    parameters, rate, decay = trainer.network.parameters(), trainer.initial_lr, trainer.weight_decay
    if settings.optimiser == "adamw":
        optimizer: Any = AdamW(parameters, rate, weight_decay=decay)
    else:
        optimizer = SGD(parameters, rate, weight_decay=decay, momentum=0.99, nesterov=True)
    return optimizer, PolyLRScheduler(optimizer, rate, trainer.num_epochs)
