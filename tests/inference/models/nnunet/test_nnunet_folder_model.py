"""Folders that nnU-Net trained: labels as nnU-Net's own predictor gives them, for every kind of plans."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gynbtnet.imaging import Geometry, Volume, reorientation_to_lps
from gynbtnet.inference import PredictionSettings
from gynbtnet.inference.engine.mirroring import tta_axes
from gynbtnet.inference.models.model_loading import load_model
from gynbtnet.inference.models.nnunet.nnunet_folder_model import NnunetFolderModel
from gynbtnet.runtime import BadInput

from .trained_folders import (
    LABELS,
    NAME,
    REGIONS,
    architecture,
    configuration,
    dataset_of,
    plans_of,
    resampling,
    scan_of_blobs,
    stock_prediction,
    write_trained,
)

WHOLE = PredictionSettings(roi="whole", device="cpu")
SAME = 0.9995
"""Share of equal labels: our sums are in half precision, and random weights have many near ties."""


def labels_of(model: Any, volumes: list[Volume], settings: PredictionSettings = WHOLE) -> np.ndarray:
    """Return the label map as nnU-Net writes it."""
    return model.configuration.outputs.as_nnunet_labels(model.segment(volumes, settings).segmentation)


@dataclass(frozen=True)
class Fixed:
    """First stage of a cascade with a known result."""

    labels: np.ndarray
    mirror_axes: tuple[Any, ...] = ("x",)

    @property
    def configuration(self) -> "Fixed":
        return self

    @property
    def outputs(self) -> "Fixed":
        return self

    @property
    def segmentation(self) -> None:
        return None

    def segment(self, volumes: Any, settings: Any) -> "Fixed":
        return self

    def as_nnunet_labels(self, segmentation: Any) -> np.ndarray:
        return self.labels


@dataclass(frozen=True)
class Recorded(Fixed):
    """First stage that records the settings that it is called with."""

    settings: list[PredictionSettings] = field(default_factory=list)

    def segment(self, volumes: Any, settings: Any) -> "Recorded":
        self.settings.append(settings)
        return self


def assert_same(ours: np.ndarray, theirs: np.ndarray, least: float = SAME) -> None:
    assert len(np.unique(theirs)) > 1, "labels of one kind would say nothing"
    assert (ours == theirs).mean() >= least


OLD = {
    "UNet_class_name": "PlainConvUNet",
    "UNet_base_num_features": 8,
    "unet_max_num_features": 12,
    "n_conv_per_stage_encoder": [2, 2, 2],
    "n_conv_per_stage_decoder": [2, 2],
    "num_pool_per_axis": [1, 2, 2],
    "pool_op_kernel_sizes": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "conv_kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
}
OLD_AS_NEW = architecture(features_per_stage=[8, 12, 12], n_conv_per_stage=[2, 2, 2], n_conv_per_stage_decoder=[2, 2])
TORCH = {
    f"resampling_fn_{kind}{end}": value
    for kind, is_seg in (("data", False), ("seg", True), ("probabilities", False))
    for end, value in (
        ("", "resample_torch_fornnunet"),
        ("_kwargs", {"is_seg": is_seg, "force_separate_z": False, "memefficient_seg_resampling": False}),
    )
}
BATCH_NORM = architecture(norm_op="torch.nn.modules.batchnorm.BatchNorm3d")
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "residual encoder": {"configuration": {"architecture": architecture("ResidualEncoderUNet")}},
    "residual, not mirrored": {
        "configuration": {"architecture": architecture("ResidualUNet", stem_channels=6)},
        "mirror_axes": None,
    },
    "batch norm": {"configuration": {"architecture": BATCH_NORM}},
    "thick slices resampled separately": {"scan": {"spacing": (7.0, 1.7, 1.9), "shape": (9, 40, 36)}},
    "never separately": {
        "configuration": resampling(force_separate_z=False),
        "scan": {"spacing": (7.0, 1.7, 1.9), "shape": (9, 40, 36)},
    },
    "transposed": {
        "plans": {"transpose_forward": [2, 0, 1], "transpose_backward": [1, 2, 0]},
        "configuration": {"patch_size": [24, 8, 32], "spacing": [2.5, 4.0, 2.0]},
        "mirror_axes": (0, 1),
    },
    "patch larger than the scan": {"configuration": {"patch_size": [16, 64, 48]}},
    "scan with empty borders": {"scan": {"empty": 3}},
    "linear in PyTorch": {"configuration": TORCH},
    "an ignored label": {"dataset": {"labels": LABELS | {"ignore": 4}}, "outputs": 4},
    "regions": {"dataset": {"labels": REGIONS, "regions_class_order": [3, 1, 2]}, "outputs": 3},
    "one step further": {
        "configuration": {"architecture": architecture(nonlin="torch.nn.ReLU", nonlin_kwargs=None, conv_bias=False)},
        "dataset": {"channel_names": None, "modality": {"0": "CT"}},
        "plans": {
            "foreground_intensity_properties_by_modality": plans_of({})["foreground_intensity_properties_per_channel"]
        },
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_those_of_nnunet(tmp_path: Path, kind: str) -> None:
    values = dict(KINDS[kind])
    scan = scan_of_blobs(**({"shape": (10, 44, 36)} | values.pop("scan", {})))
    plans = plans_of(
        {"base": configuration(**values.pop("configuration", {})), "3d_fullres": {"inherits_from": "base"}},
        **values.pop("plans", {}),
    )
    dataset = {k: v for k, v in dataset_of(**values.pop("dataset", {})).items() if v is not None}
    described = values.pop("described", plans["configurations"]["base"]["architecture"])
    values = {"mirror_axes": (2,)} | values
    folder = write_trained(tmp_path / NAME, plans, dataset, described=described, **values)
    model = load_model(folder)
    assert isinstance(model, NnunetFolderModel)
    assert_same(labels_of(model, [scan]), stock_prediction(folder, [scan]))


def test_a_trainer_with_batch_norm_is_recognised_by_its_weights(tmp_path: Path) -> None:
    """nnUNetTrainerBN replaces the norms of the plans; nnU-Net knows by its name, and we by the weights."""
    folder = write_trained(
        tmp_path / NAME,
        plans_of({"3d_fullres": configuration(architecture=BATCH_NORM)}),
        dataset_of(),
        trainer="nnUNetTrainerBN",
        mirror_axes=None,
    )
    scan = scan_of_blobs((10, 40, 36))
    expected = labels_of(load_model(folder), [scan])
    (folder / "plans.json").write_text(json.dumps(plans_of({"3d_fullres": configuration()})))
    assert (labels_of(load_model(folder), [scan]) == expected).all()


def test_old_plans_are_read(tmp_path: Path) -> None:
    """Before version 2.4, nnU-Net described its network in single values."""
    old = {name: value for name, value in configuration().items() if name != "architecture"} | OLD
    folder = write_trained(
        tmp_path / NAME, plans_of({"3d_fullres": old}), dataset_of(), described=OLD_AS_NEW, mirror_axes=(1,)
    )
    scan = scan_of_blobs((10, 44, 36))
    assert_same(labels_of(load_model(folder), [scan]), stock_prediction(folder, [scan]))


def test_several_channels_with_every_normalisation(tmp_path: Path) -> None:
    channels = ("CT", "T2", "PET", "map", "photo")
    schemes = ["CTNormalization", "ZScoreNormalization", "RescaleTo01Normalization", "NoNormalization"]
    own = configuration(
        normalization_schemes=[*schemes, "RGBTo01Normalization"],
        use_mask_for_norm=[False, True, False, False, False],
    )
    folder = write_trained(
        tmp_path / NAME, plans_of({"3d_fullres": own}, 5), dataset_of(channels=channels), mirror_axes=None
    )
    scans = [scan_of_blobs((10, 40, 36), seed=seed, empty=2) for seed in range(5)]
    for i, divisor in ((3, 300), (4, 2)):
        values = np.clip(scans[i].array, 0, 500).astype(np.float32) / divisor
        scans[i] = Volume(values, scans[i].geometry)
    model = load_model(folder)
    assert model.channels == channels and model.mirror_axes == ()
    assert_same(labels_of(model, scans), stock_prediction(folder, scans))
    with pytest.raises(BadInput, match="reads 5 channels"):
        model.segment(scans[:2], WHOLE)
    with pytest.raises(BadInput, match="another grid"):
        model.segment([*scans[:4], scan_of_blobs((11, 40, 36))], WHOLE)
    with pytest.raises(BadInput, match="from 0 to 255"):
        model.segment([*scans[:4], scans[0]], WHOLE)
    nothing = [Volume(np.zeros((4, 8, 8), np.int16), Geometry((4, 8, 8)))] * 5
    with pytest.raises(BadInput, match="only zeros"):
        model.segment(nothing, WHOLE)


def test_slices_of_a_2d_network(tmp_path: Path) -> None:
    folder = write_trained(
        tmp_path / "nnUNetTrainer__nnUNetPlans__2d",
        plans_of({"2d": configuration(axes=2)}),
        dataset_of(),
        configuration_name="2d",
        mirror_axes=(0, 1),
    )
    scan, model = scan_of_blobs((5, 44, 36)), load_model(folder)
    assert model.mirror_axes == ("y", "x")
    assert_same(labels_of(model, [scan]), stock_prediction(folder, [scan]))


def test_folds_are_averaged(tmp_path: Path) -> None:
    folder = write_trained(
        tmp_path / NAME, plans_of({"3d_fullres": configuration()}), dataset_of(), folds=2, mirror_axes=None
    )
    scan = scan_of_blobs((10, 44, 36))
    both, first = load_model(folder), load_model(folder, PredictionSettings(folds=1))
    assert sorted(both.digests) == ["fold_0/checkpoint_final.pth", "fold_1/checkpoint_final.pth"]
    assert both.sha256 != first.sha256 == load_model(folder / "fold_0").sha256
    ours = labels_of(both, [scan])
    assert_same(ours, stock_prediction(folder, [scan]))
    assert (labels_of(first, [scan]) != ours).mean() > 0.01
    result = both.segment([scan], WHOLE)
    assert all(0 <= dice <= 1 for dice in result.agreement.values() if dice == dice)
    shutil.move(folder / "fold_0", folder / "fold_all")
    shutil.rmtree(folder / "fold_1")
    assert sorted(load_model(folder).digests) == ["fold_all/checkpoint_final.pth"]


def test_a_cascade_refines_its_first_stage(tmp_path: Path) -> None:
    low = configuration(spacing=[6.0, 4.0, 4.0], patch_size=[8, 16, 16], next_stage="3d_cascade_fullres")
    plans = plans_of(
        {
            "3d_lowres": low,
            "3d_fullres": configuration(),
            "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
        }
    )
    described, dataset = low["architecture"], dataset_of()
    first, second = (
        write_trained(
            tmp_path / f"nnUNetTrainer__nnUNetPlans__{name}",
            plans,
            dataset,
            described=described,
            configuration_name=name,
            inputs=inputs,
            mirror_axes=(2,),
        )
        for name, inputs in (("3d_lowres", 1), ("3d_cascade_fullres", 4))
    )
    scan = scan_of_blobs((10, 44, 36))
    before = stock_prediction(first, [scan])
    model = NnunetFolderModel.load(second)
    assert_same(labels_of(model.previous, [scan]), before)
    object.__setattr__(model, "previous", Fixed(before))  # a single voxel changes many, as the weights are random
    assert_same(labels_of(model, [scan]), stock_prediction(second, [scan], before))
    shutil.rmtree(first)
    with pytest.raises(BadInput, match="refines the predictions of the configuration 3d_lowres"):
        load_model(second)


@pytest.mark.parametrize(
    ("asked", "mirroring", "axes"),
    [
        ({}, True, None),
        ({"mirrored_axes": ("z",)}, False, None),  # the first stage was trained with x alone
        ({"mirrored_axes": ("z", "x")}, True, ("x",)),
        ({"mirrored_axes": ()}, False, None),
        ({"mirroring": False}, False, None),
    ],
)
def test_a_first_stage_mirrors_no_axis_that_is_not_asked_for(
    tmp_path: Path, asked: dict, mirroring: bool, axes: tuple | None
) -> None:
    folder = tmp_path / NAME
    write_trained(folder, plans_of({"3d_fullres": configuration()}), dataset_of(), mirror_axes=(0, 2))
    model = NnunetFolderModel.load(folder)
    scan = scan_of_blobs((10, 44, 36))
    first = Recorded(np.zeros(scan.array.shape, np.uint8))
    object.__setattr__(model, "previous", first)
    model._refined_labels([scan], WHOLE.model_copy(update=asked))
    (settings,) = first.settings
    assert (settings.mirroring, settings.mirrored_axes) == (mirroring, axes)
    assert tta_axes(settings, ("x",), "the first stage") == (("x",) if mirroring else ())


@pytest.mark.parametrize("reader", ["SimpleITKIO", "NibabelIOWithReorient"])
@pytest.mark.parametrize(("order", "mirrored"), [((0, 1, 2), (False, True, False)), ((1, 2, 0), (True, False, True))])
def test_every_orientation_of_the_file(tmp_path: Path, reader: str, order: tuple, mirrored: tuple) -> None:
    """A reader that reorients sees the same patient in every file, the others see the array of the file."""
    folder = tmp_path / NAME
    plans = plans_of({"3d_fullres": configuration()}, image_reader_writer=reader)
    write_trained(folder, plans, dataset_of(), mirror_axes=None)
    scan = scan_of_blobs((10, 40, 36))
    columns = np.eye(3)[:, ::-1][:, order] * np.where(mirrored, -1, 1)
    array = np.flip(scan.array.transpose(order), tuple(np.flatnonzero(mirrored)))
    z, y, x = (scan.geometry.spacing[axis] for axis in order)
    spacing = (z, y, x)
    stored = Volume(array, Geometry(array.shape, spacing, (5, 6, 7), tuple(columns[:, ::-1].ravel())))
    to_lps = reorientation_to_lps(stored.geometry)
    if reader == "SimpleITKIO":
        seen, back = array, lambda labels: labels
    else:
        assert (to_lps.array(array) == scan.array).all()
        seen, back = (
            scan.array[:, ::-1, ::-1],
            lambda labels: np.flip(labels[:, ::-1, ::-1].transpose(order), tuple(np.flatnonzero(mirrored))),
        )
    model = load_model(folder)
    stock = stock_prediction(folder, [Volume(np.ascontiguousarray(seen), replace_shape(scan, seen, spacing, reader))])
    assert_same(labels_of(model, [stored]), back(stock))


def replace_shape(scan: Volume, seen: np.ndarray, spacing: tuple, reader: str) -> Geometry:
    return Geometry(seen.shape, spacing if reader == "SimpleITKIO" else scan.geometry.spacing)
