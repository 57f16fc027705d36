"""Everything that prediction must repeat of training, in nnU-Net's words on disk."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gynbtnet.errors import BadInput
from gynbtnet.preparation.settings import NetworkName, Normalisation, Triple, check_network, check_spacing
from gynbtnet.whole_files import written_whole

_CONFIGURATION = "3d_fullres"
_SCHEMES: Mapping[Normalisation, str] = {"zscore": "ZScoreNormalization", "ct": "CTNormalization"}
_CLASSES: Mapping[NetworkName, str] = {
    "gynbtnet": "gynbtnet.networks.unet.GynBTNet",
    "swin_unetr": "gynbtnet.networks.swin_unetr.SwinUNETR",
}


@dataclass(frozen=True)
class Intensity:
    """HU inside the structures of a cohort; the percentiles are the 0.5th and the 99.5th."""

    mean: float
    std: float
    percentile_00_5: float
    percentile_99_5: float


@dataclass(frozen=True)
class Plan:
    """How scans are prepared and what network reads them.

    Attributes:
        structures: output i + 1 of the network is structures[i]; empty before contours are learned.
        spacing: voxel spacing (z, y, x) in mm.
        normalisation: "zscore" (each scan by its own mean and deviation) or "ct" (by ``intensity``).
        intensity: needed for "ct".
        patch_size: voxels (z, y, x); on every axis a multiple of the product of the strides.
        batch_size: patches in a batch.
        preset: the network's size by name.
        strides: what each of the preset's levels divides the grid by, fine to coarse, (z, y, x); none of "swin_unetr".
        network: "gynbtnet", or the baseline "swin_unetr".

    Raises:
        ValueError: where values don't fit each other.
    """

    structures: tuple[str, ...]
    spacing: tuple[float, float, float]
    normalisation: Normalisation
    intensity: Intensity | None
    patch_size: Triple
    batch_size: int
    preset: str
    strides: tuple[Triple, ...]
    network: NetworkName = "gynbtnet"

    def __post_init__(self) -> None:
        if self.normalisation not in _SCHEMES:
            raise ValueError(f"normalisation is one of {', '.join(_SCHEMES)}, not {self.normalisation}")
        if self.normalisation == "ct" and self.intensity is None:
            raise ValueError("normalisation ct needs the cohort's intensity")
        check_spacing(self.spacing)
        check_network(self.network, self.preset, self.strides, self.patch_size)

    def save(self, folder: Path) -> None:
        """Write ``plans.json`` and ``dataset.json`` into ``folder``, each whole."""
        for name, content in (("plans.json", self._plans()), ("dataset.json", self._dataset())):
            with written_whole(Path(folder) / name) as partial:
                partial.write_text(json.dumps(content, indent=1))

    @classmethod
    def load(cls, folder: Path) -> "Plan":
        """Read what :meth:`save` wrote.

        Raises:
            BadInput: where a file is absent or damaged, or its values don't fit each other.
        """
        plans, dataset = (_read(Path(folder) / name) for name in ("plans.json", "dataset.json"))
        try:
            configuration = plans["configurations"][_CONFIGURATION]
            arch_kwargs = configuration["architecture"]["arch_kwargs"]
            properties = plans["foreground_intensity_properties_per_channel"].get("0")
            schemes = {scheme: name for name, scheme in _SCHEMES.items()}
            networks = {path: name for name, path in _CLASSES.items()}
            labels = sorted((int(label), name) for name, label in dataset["labels"].items())
            if [label for label, _ in labels] != list(range(len(labels))):
                raise ValueError(f"labels are numbered {[label for label, _ in labels]}, not one by one from 0")
            return cls(
                structures=tuple(name for _, name in labels[1:]),
                spacing=_triple(configuration["spacing"], float),
                normalisation=schemes[configuration["normalization_schemes"][0]],
                intensity=Intensity(**{name: float(properties[name]) for name in Intensity.__annotations__})
                if properties
                else None,
                patch_size=_triple(configuration["patch_size"], int),
                batch_size=int(configuration["batch_size"]),
                preset=str(arch_kwargs["preset"]),
                strides=tuple(_triple(stride, int) for stride in arch_kwargs["strides"]),
                network=networks[configuration["architecture"]["network_class_name"]],
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            found = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise BadInput(
                f"plans.json or dataset.json in {folder} is not a plan of GynBTNet ({found}); expected the files "
                "that `gynbtnet plan` or a training run wrote."
            ) from error

    def _plans(self) -> dict[str, Any]:
        return {
            "dataset_name": "GynBTNet",
            "plans_name": "GynBTNetPlans",
            "image_reader_writer": "SimpleITKIO",
            "transpose_forward": [0, 1, 2],
            "transpose_backward": [0, 1, 2],
            "foreground_intensity_properties_per_channel": {"0": asdict(self.intensity)} if self.intensity else {},
            "configurations": {
                _CONFIGURATION: {
                    "batch_size": self.batch_size,
                    "patch_size": self.patch_size,
                    "spacing": self.spacing,
                    "normalization_schemes": [_SCHEMES[self.normalisation]],
                    "use_mask_for_norm": [False],
                    "architecture": {
                        "network_class_name": _CLASSES[self.network],
                        "arch_kwargs": {"preset": self.preset, "strides": self.strides},
                        "_kw_requires_import": [],
                    },
                }
            },
        }

    def _dataset(self) -> dict[str, Any]:
        return {
            "channel_names": {"0": "CT"},
            "labels": {"background": 0} | {name: i for i, name in enumerate(self.structures, start=1)},
            "file_ending": ".nii.gz",
        }


def _read(path: Path) -> Any:
    if not path.is_file():
        raise BadInput(f"There is no file {path}; expected a plan that `gynbtnet plan` or a training run wrote.")
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise BadInput(f"{path} is damaged ({error}); write it again with `gynbtnet plan`.") from error


def _triple(values: Any, kind: type) -> Any:
    if len(values) != 3:
        raise ValueError(f"{values} doesn't hold three values for (z, y, x)")
    return tuple(kind(value) for value in values)
