"""Plans on disk: ``plans.json`` and ``dataset.json`` in nnU-Net's vocabulary."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from gynbtnet.preparation.planning.nnunet_plans import from_nnunet, to_nnunet
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import PlainDataError, load_json


def save_plan(plan: Plan, folder: Path) -> None:
    """Write ``plans.json`` and ``dataset.json`` into ``folder``, each atomically; stock nnU-Net reads them too.

    Args:
        plan: plan to write.
        folder: folder for both files; existing ones are replaced.
    """
    for name, content in zip(("plans.json", "dataset.json"), to_nnunet(plan), strict=True):
        with atomic_write(Path(folder) / name) as partial:
            partial.write_text(json.dumps(content, indent=1))


def load_plan(folder: Path, *, preset: str = "L") -> Plan:
    """Read a plan of :func:`save_plan`, or one of nnU-Net from its preprocessed dataset or its results.

    Args:
        folder: contains ``plans.json``, or nnU-Net's only ``…Plans.json``, and ``dataset.json``.
        preset: network to use with a plan for nnU-Net's own network; our plans name theirs.

    Returns:
        The plan.

    Raises:
        BadInput: If a file is absent or damaged, or its values don't fit each other or GynBTNet.
    """
    plans = _plans_in(Path(folder))
    try:
        return from_nnunet(_read(plans), _read(Path(folder) / "dataset.json"), preset=preset)
    except ValueError as error:
        raise BadInput(
            f"{plans.name} or dataset.json in {folder} is not a plan that GynBTNet can follow "
            f"({' '.join(str(error).split())[:300]}); expected the files that `gynbtnet plan`, a training run or "
            "nnU-Net's planning wrote."
        ) from error


def plan_like(plan: Plan, folder: Path) -> Plan:
    """Return a cohort's plan with spacing, normalisation, patch and network of a folder that nnU-Net trained.

    A model that starts from the folder's weights then sees scans as the folder's training did.

    Args:
        plan: plan of the cohort, whose structures and their volumes are kept.
        folder: trained folder, named trainer, plans and configuration, such as
            ``nnUNetTrainer__nnUNetPlans__3d_fullres``.

    Returns:
        The plan.

    Raises:
        BadInput: If a file is absent or damaged, the plan can't be followed, or its channels are others.
    """
    configuration = folder.resolve().name.rpartition("__")[2]
    try:
        theirs = from_nnunet(
            _read(folder / "plans.json"),
            _read(folder / "dataset.json"),
            configuration=configuration,
            keep_network=True,
        )
    except ValueError as error:
        raise BadInput(
            f"{folder} is not a folder of nnU-Net whose network can be trained on "
            f"({' '.join(str(error).split())[:300]}); expected one such as nnUNetTrainer__nnUNetPlans__3d_fullres."
        ) from error
    if [name.casefold() for name in theirs.channels] != [name.casefold() for name in plan.channels]:
        raise BadInput(
            f"{folder} reads the channels {', '.join(theirs.channels)}, but the cohort has {', '.join(plan.channels)}; "
            "expected the same channels in the same order."
        )
    return replace(
        plan,
        spacing=theirs.spacing,
        normalisation=theirs.normalisation,
        intensities=theirs.intensities,
        patch_size=theirs.patch_size,
        batch_size=theirs.batch_size,
        network=theirs.network,
        preset=theirs.preset,
        strides=theirs.strides,
        separate_z=theirs.separate_z,
        architecture=theirs.architecture,
        notes=(*plan.notes, *theirs.notes, f"Spacing, normalisation, patch and network are those of {folder.name}."),
    )


def _plans_in(folder: Path) -> Path:
    """Return ``plans.json``, or if there is none, the only file with the name of an nnU-Net plan."""
    files = sorted(folder.glob("*Plans.json"))
    return files[0] if len(files) == 1 and not (folder / "plans.json").is_file() else folder / "plans.json"


def _read(path: Path) -> Any:
    if not path.is_file():
        raise BadInput(f"There is no file {path}; expected a plan that `gynbtnet plan` or a training run wrote.")
    try:
        return load_json(path)
    except (OSError, PlainDataError) as error:
        raise BadInput(f"{path} is damaged ({error}); write it again with `gynbtnet plan`.") from error
