"""Run folder: a training run on disk, self-contained, resumable, and a model that prediction can load."""

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.plan_files import load_plan, save_plan
from gynbtnet.preparation.planning.settings import ALL_AXES
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, write_json
from gynbtnet.runtime.lock_file import file_lock
from gynbtnet.training.flat_settings import flatten_settings, read_flat_settings
from gynbtnet.training.renamed_settings import with_current_names

# A run may be resumed with other values of these: except for rounding, its weights don't depend on them.
FREE_TO_CHANGE = (
    "plan.notes",
    "plan.postprocessing",
    *(
        f"settings.{name}"
        for name in (
            *("workers", "checkpoint_interval_epochs", "picture_interval_epochs", "time_budget_hours"),
            *("accelerator", "devices", "strategy", "compile", "network_form"),
            *("auto_micro_batch", "micro_batch_memory_gb"),
        )
    ),
)

LEGACY_VALUES: Mapping[str, Any] = {
    "budget": None,
    "mask": "random",
    "target": "image",
    "optimiser": "adamw",
    "momentum": 0.99,
    "schedule": "cosine",
    "ema": None,
    "encoder_learning_rate": 1,
    "decoder_first_share": 0,
    "new_head_scale": 1,
    "new_head_learning_rate": 1,
    "mirror_axes": ["z", "y", "x"],
    "weight_decay_on": "all",
    "freeze_idle_biases": False,
    "initialisation": "pytorch",
    "warm_up_share": 0,
    "crops": "anywhere",
    "target_epsilon_hu": None,
    "encoder": "sparse",
    "foreground_rule": "each_patch",
    "supervise_coarsest": True,
    "network_form": "auto",
}
"""Behaviour of runs from before each setting existed; such runs resume with these values."""

LIBRARIES = ("gynbtnet", "torch", "lightning-fabric", "batchgeneratorsv2", "numpy", "scipy", "SimpleITK")


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run's files.

    ``recipe.yaml``, ``plans.json`` and ``dataset.json`` describe the training and ``inputs.json`` its input data.
    ``environment.json`` lists the software and the machine, with one entry per start of the run.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def state(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "state"

    @property
    def last_weights(self) -> Path:
        """Weights at the end of the run; absent until it has ended."""
        return self.path / "weights_last.safetensors"

    @property
    def best_weights(self) -> Path:
        """Weights at the best smoothed validation score."""
        return self.path / "weights_best.safetensors"

    @property
    def log(self) -> Path:
        """Metrics of every epoch."""
        return self.path / "log.csv"

    @property
    def pictures(self) -> Path:
        """Pictures of the fixed validation patches with the network's output, every few epochs."""
        return self.path / "pictures"

    @property
    def scans(self) -> Path:
        """Cohort and prepared scans of a run that started from unprepared scans; not needed after its end."""
        return self.path / "scans"

    @property
    def transfer_report(self) -> Path:
        """Report of the weights that were transferred from an earlier stage."""
        return self.path / "transfer.json"


@contextmanager
def lock_training(folder: Path) -> Iterator[None]:
    """Keep other programs from training in a folder inside the block; a killed program keeps none out.

    Args:
        folder: the folder; it is made if it is absent.

    Raises:
        BadInput: If another program trains in it.
    """
    with file_lock(folder / ".lock", wait=False) as held:
        if not held:
            raise BadInput(f"Another program trains in {folder}; wait until it has ended.")
        yield


@contextmanager
def open_run(path: Path, recipe: Mapping[str, Any], inputs: Mapping[str, Any], plan: Plan) -> Iterator[RunFolder]:
    """Create a run folder, or open it again if it was made from the same recipe, inputs and plan.

    Inside the block, no other program trains in it.

    Args:
        path: the folder.
        recipe: resolved settings, as plain values.
        inputs: SHA-256 digests of the input data. There are no paths, so that data may be moved, and no ids, which may
            be the patients'.
        plan: plan by which the scans were prepared.

    Yields:
        The run folder.

    Raises:
        BadInput: If the folder holds a run made from others, a damaged run, or something else. Also if another program
            trains in it.
    """
    _check_contents(path)  # before the lock, which makes a file
    with lock_training(path):
        if not (path / "recipe.yaml").exists():
            _make_run(path, recipe, inputs, plan)
        _check_same_run(path, recipe, inputs, plan)
        yield RunFolder(path)


def _check_same_run(path: Path, recipe: Mapping[str, Any], inputs: Mapping[str, Any], plan: Plan) -> None:
    recorded = _recorded_settings(path / "recipe.yaml")
    recorded_values = {**recorded, **flatten_settings(asdict(load_plan(path)), "plan."), **_from_before(recorded)}
    given = {**flatten_settings(recipe), **flatten_settings(asdict(plan), "plan.")}
    before = {f"settings.{name}": value for name, value in LEGACY_VALUES.items() if f"settings.{name}" in given}
    recorded_values = before | recorded_values
    for key in sorted(recorded_values.keys() | given.keys()):
        if recorded_values.get(key) != given.get(key) and key not in FREE_TO_CHANGE:
            raise BadInput(
                f"The run in {path} was made with {key} = {recorded_values.get(key)}, but now {key} = {given.get(key)} "
                f"is required; resume it as it was made, or give another output folder.{_longer(key, path)}"
            )
    recorded_inputs = read_json(
        dict[str, Any], path / "inputs.json", "give another output folder to start the run again"
    )
    names = sorted(recorded_inputs.keys() | inputs.keys())
    changed = [name for name in names if recorded_inputs.get(name) != inputs.get(name)]
    if changed:
        raise BadInput(
            f"The run in {path} was made from other inputs ({', '.join(changed)}); resume it with the same scans and "
            "weights, or give another output folder."
        )


def _longer(key: str, path: Path) -> str:
    """Return a hint for someone who wants to train a run longer."""
    if key != "settings.epochs":
        return ""
    return (
        f" A run can't be made longer, because its learning rate falls to zero at its end. To train longer, start a "
        f"new run from its weights with --start {path}; the heads of the structures are then learned again."
    )


def _recorded_settings(recipe: Path) -> dict[str, Any]:
    """Return the settings of a run as one mapping, by their current names."""
    flat = read_flat_settings(recipe)
    own = {name.removeprefix("settings."): value for name, value in flat.items() if name.startswith("settings.")}
    others = {name: value for name, value in flat.items() if not name.startswith("settings.")}
    return others | flatten_settings(with_current_names(own, "training"), "settings.")


def _from_before(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mirrored axes of a run from before ``mirror_axes``: all axes, or none if it did not augment."""
    if "settings.mirror_axes" in recorded:
        return {}
    mirrored = [] if recorded.get("settings.augmentation") == "none" else list(ALL_AXES)
    return {"settings.mirror_axes": list(ALL_AXES), "plan.mirror_axes": mirrored}


def _check_contents(path: Path) -> None:
    """Refuse a folder of something else than a run; the first files of a run may exist without its recipe."""
    files_of_a_run = {"plans.json", "dataset.json", "inputs.json", "recipe.yaml", RunFolder(path).scans.name}
    others = [path] if path.is_file() else sorted(path.glob("[!.]*"))
    if not (path / "recipe.yaml").exists() and any(other.name not in files_of_a_run for other in others):
        raise BadInput(f"{path} contains files, but no recipe.yaml of a run; give a new or an empty folder.")


def _make_run(path: Path, recipe: Mapping[str, Any], inputs: Mapping[str, Any], plan: Plan) -> None:
    """Write the files that describe the run. ``recipe.yaml`` comes last: with it the folder counts as a run."""
    save_plan(plan, path)
    write_json(dict(inputs), path / "inputs.json")
    with atomic_write(path / "recipe.yaml") as partial:
        partial.write_text(yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True))


def note_environment(run: RunFolder, **now: Any) -> None:
    """Append versions, machine and ``now`` to ``environment.json``, which has one entry per start of the run."""
    path = run.path / "environment.json"
    entries = read_json(list[Any], path, "delete it to continue without it") if path.exists() else []
    machine = {"python": platform.python_version(), "platform": platform.platform()}
    write_json([*entries, now | machine | {name: version(name) for name in LIBRARIES}], path)


def last_environment(run: RunFolder) -> Mapping[str, Any]:
    """Return versions and machine of the last start of a run; empty if they were not recorded.

    Raises:
        BadInput: If ``environment.json`` is damaged.
    """
    path = run.path / "environment.json"
    if not path.is_file():
        return {}
    entries = read_json(list[dict[str, Any]], path, "expected the file that a training run writes")
    return entries[-1] if entries else {}
