"""Export of a run's encoder for other code: weights, a description, and a loader that needs PyTorch only."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save_file
from torch import Tensor

from gynbtnet.imaging.volume import AIR
from gynbtnet.inference.models.model_archive import CARD
from gynbtnet.networks.presets import PRESETS
from gynbtnet.networks.weights_file import read_weights
from gynbtnet.preparation.planning.plan import CT, Plan
from gynbtnet.preparation.planning.plan_files import load_plan
from gynbtnet.runtime.atomic_files import atomic_write, ensure_replaceable
from gynbtnet.runtime.errors import BadInput

WEIGHTS, DESCRIPTION, LOADER = "encoder.safetensors", "encoder.json", "load_encoder.py"
_PREFIX = "encoder."
_LARGEST = 3.4e38  # of float32: no limit


def export_encoder(
    run: Path,
    out: Path,
    *,
    weights: Literal["last", "best"] = "last",
    force: bool = False,
    card: str | None = None,
) -> Path:
    """Write the encoder of a run of any stage, also of pretraining, for use without GynBTNet.

    The folder contains ``encoder.safetensors``, ``encoder.json`` (preset, levels, spacing, normalisation) and
    ``load_encoder.py``, which loads both with PyTorch and safetensors alone.

    Args:
        run: run folder.
        out: folder to write.
        weights: "last": end of the training; "best": best validation score.
        force: replace an earlier export.
        card: model card; None: the folder has none.

    Returns:
        The folder.

    Raises:
        BadInput: If the folder contains no finished run of GynBTNet, or ``out`` contains anything except an earlier
            export that ``force`` may replace.
    """
    path = run / f"weights_{weights}.safetensors"
    if not path.is_file():
        raise BadInput(f"There is no {path}; expected the folder of a training run that has ended.")
    plan = load_plan(run)
    if plan.network != "gynbtnet":
        raise BadInput(f"{run} trained {plan.network}; only the encoder of gynbtnet can be exported.")
    ensure_replaceable(out, (WEIGHTS, DESCRIPTION, LOADER, CARD), DESCRIPTION)
    if (out / DESCRIPTION).exists() and not force:
        raise BadInput(f"{out} contains an encoder already; replace it with --force, or give another folder.")
    own = {name.removeprefix(_PREFIX): value for name, value in read_weights(path).items() if name.startswith(_PREFIX)}
    if not own:
        raise BadInput(f"{path} holds no encoder; expected tensors with names such as encoder.levels.0.0.conv1.weight.")
    with atomic_write(out) as partial:
        partial.mkdir()
        save_file({name: value.contiguous() for name, value in own.items()}, partial / WEIGHTS)
        (partial / DESCRIPTION).write_text(json.dumps(_description(plan, own), indent=1), encoding="utf-8")
        loader = Path(__file__).with_name("plain_encoder.py").read_bytes()
        (partial / LOADER).write_bytes(loader)
        if card is not None:
            (partial / CARD).write_text(card, encoding="utf-8")
    return out


def _description(plan: Plan, weights: dict[str, Tensor]) -> dict[str, Any]:
    preset = PRESETS[plan.preset]
    batch = any(name.endswith("running_mean") for name in weights)
    return {
        "format": 1,
        "made_by": f"GynBTNet {version('gynbtnet')}",
        "preset": plan.preset,
        "channels": list(preset.channels),
        "depth": preset.depth,
        "strides": [list(stride) for stride in plan.strides],
        "norm": "batch" if batch else "instance",
        "input_channels": list(plan.channels),
        "spacing_mm": list(plan.spacing),
        "axes": "z, y, x, which run to the patient's head, back and left",
        "patch_size": list(plan.patch_size),
        "normalisation": [_normalisation(plan, channel) for channel in range(len(plan.channels))],
    }


def _normalisation(plan: Plan, channel: int) -> dict[str, float | None]:
    """Return limits, mean and standard deviation of a channel; mean and deviation are None if they are the image's."""
    if plan.normalisations[channel] == "ct" and plan.intensities is not None:
        intensity = plan.intensities[channel]
        limits = {"lowest": intensity.percentile_00_5, "highest": intensity.percentile_99_5}
        return {**limits, "mean": intensity.mean, "sd": intensity.std}
    lowest = float(AIR) if plan.channels[channel].casefold() == CT else -_LARGEST
    return {"lowest": lowest, "highest": _LARGEST, "mean": None, "sd": None}
