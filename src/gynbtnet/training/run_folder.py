"""A run on disk: complete in itself, resumable, and a model that prediction can load."""

import platform
from collections.abc import Mapping
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
from gynbtnet.training.flat_settings import flatten_settings, read_flat_settings
from gynbtnet.training.renamed_settings import with_todays_names

# A run may be resumed with another value of these: its weights don't depend on them, but for rounding.
FREE_TO_CHANGE = (
    "plan.notes",
    "plan.postprocessing",
    *(
        f"settings.{name}"
        for name in (
            *("workers", "checkpoint_interval_epochs", "picture_interval_epochs", "time_budget_hours"),
            *("accelerator", "devices", "strategy", "compile", "auto_micro_batch", "micro_batch_memory_gb"),
        )
    ),
)

BEFORE: Mapping[str, Any] = {
    "mirror_axes": ["z", "y", "x"],
    "weight_decay_on": "all",
    "freeze_idle_biases": False,
    "initialisation": "pytorch",
    "warm_up_share": 0,
    "crops": "anywhere",
    "target_epsilon_hu": None,
    "foreground_rule": "each_patch",
    "supervise_coarsest": True,
}
"""What runs did before there was a setting for it: they go on as they were begun."""

LIBRARIES = ("gynbtnet", "torch", "lightning-fabric", "batchgeneratorsv2", "numpy", "scipy", "SimpleITK")


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps what.

    ``recipe.yaml``, ``plans.json`` and ``dataset.json`` say what is trained, ``inputs.json`` on what,
    ``environment.json`` with what, one entry each time it was started.
    """

    path: Path

    @property
    def state(self) -> Path:
        """Checkpoints to resume from."""
        return self.path / "state"

    @property
    def last_weights(self) -> Path:
        """Weights at the end of the run; absent before."""
        return self.path / "weights_last.safetensors"

    @property
    def best_weights(self) -> Path:
        """Weights at the best smoothed validation score."""
        return self.path / "weights_best.safetensors"

    @property
    def log(self) -> Path:
        """Figures of every epoch."""
        return self.path / "log.csv"

    @property
    def pictures(self) -> Path:
        """What the network made of the fixed validation patches, every few epochs."""
        return self.path / "pictures"

    @property
    def scans(self) -> Path:
        """Cohort and prepared scans, where the run was given scans as they come; not needed once it has ended."""
        return self.path / "scans"

    @property
    def transfer_report(self) -> Path:
        """What came over from an earlier stage."""
        return self.path / "transfer.json"


def open_run(path: Path, recipe: Mapping[str, Any], inputs: Mapping[str, Any], plan: Plan) -> RunFolder:
    """Make the run folder ``path``, or take it up again where it was made from the same recipe, inputs and plan.

    Args:
        path: the folder.
        recipe: the resolved settings, plain values.
        inputs: what the run reads, by hash alone: no paths, so that data may be moved, and no ids, which may be the
            patients'.
        plan: how the scans were prepared.

    Raises:
        BadInput: where the folder holds a run made from others, a damaged one, or something that is no run.
    """
    if not (path / "recipe.yaml").exists():
        _make_run(path, recipe, inputs, plan)
    recorded = _recorded_settings(path / "recipe.yaml")
    made = {**recorded, **flatten_settings(asdict(load_plan(path)), "plan."), **_from_before(recorded)}
    asked = {**flatten_settings(recipe), **flatten_settings(asdict(plan), "plan.")}
    made = {f"settings.{name}": value for name, value in BEFORE.items() if f"settings.{name}" in asked} | made
    for key in sorted(made.keys() | asked.keys()):
        if made.get(key) != asked.get(key) and key not in FREE_TO_CHANGE:
            raise BadInput(
                f"The run in {path} was made with {key} = {made.get(key)}, but now {key} = {asked.get(key)} is asked "
                "for; resume it as it was made, or give another output folder."
            )
    read = read_json(dict[str, Any], path / "inputs.json", "give another output folder to start the run again")
    others = [name for name in sorted(read.keys() | inputs.keys()) if read.get(name) != inputs.get(name)]
    if others:
        raise BadInput(
            f"The run in {path} was made from other inputs ({', '.join(others)}); resume it with the same scans and "
            "weights, or give another output folder."
        )
    return RunFolder(path)


def _recorded_settings(recipe: Path) -> dict[str, Any]:
    """Return the flat settings of a run, by today's names."""
    flat = read_flat_settings(recipe)
    own = {name.removeprefix("settings."): value for name, value in flat.items() if name.startswith("settings.")}
    others = {name: value for name, value in flat.items() if not name.startswith("settings.")}
    return others | flatten_settings(with_todays_names(own, "training"), "settings.")


def _from_before(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What a run did whose recipe is from before ``mirror_axes``: it mirrored all axes, or did not augment at all."""
    if "settings.mirror_axes" in recorded:
        return {}
    mirrored = [] if recorded.get("settings.augmentation") == "none" else list(ALL_AXES)
    return {"settings.mirror_axes": list(ALL_AXES), "plan.mirror_axes": mirrored}


def _make_run(path: Path, recipe: Mapping[str, Any], inputs: Mapping[str, Any], plan: Plan) -> None:
    """Write what says what the run is, ``recipe.yaml`` last: with it the folder counts as a run."""
    first_files = {"plans.json", "dataset.json", "inputs.json", RunFolder(path).scans.name}
    others = [path] if path.is_file() else sorted(path.glob("[!.]*"))
    if any(other.name not in first_files for other in others):
        raise BadInput(f"{path} holds something, but no recipe.yaml of a run; give a new or an empty folder.")
    save_plan(plan, path)
    write_json(dict(inputs), path / "inputs.json")
    with atomic_write(path / "recipe.yaml") as partial:
        partial.write_text(yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True))


def note_environment(run: RunFolder, **now: Any) -> None:
    """Append versions, machine and ``now`` to ``environment.json``, which has an entry for each start of the run."""
    path = run.path / "environment.json"
    entries = read_json(list[Any], path, "delete it to go on without it") if path.exists() else []
    machine = {"python": platform.python_version(), "platform": platform.platform()}
    write_json([*entries, now | machine | {name: version(name) for name in LIBRARIES}], path)
