"""Fingerprint, plan and preprocessing compared with the real nnU-Net on the same scans."""

import json
import multiprocessing.pool
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gynbtnet.datasets import Case, Cohort, Source
from gynbtnet.imaging import Geometry, read_volume, write_volume
from gynbtnet.phantom import STRUCTURES, pelvic_geometry, phantom_case
from gynbtnet.preparation.planning.anisotropy import separate_axis
from gynbtnet.preparation.planning.fingerprint import FINGERPRINT, take_fingerprint
from gynbtnet.preparation.planning.intensity import Intensity
from gynbtnet.preparation.planning.make_plan import make_plan
from gynbtnet.preparation.planning.nnunet_plans import STOCK, from_nnunet, to_nnunet
from gynbtnet.preparation.planning.nnunet_topology import nnunet_topology
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.plan_files import load_plan
from gynbtnet.preparation.planning.settings import PlanSettings, preset_strides
from gynbtnet.preparation.planning.target_spacing import shape_at, target_spacing
from gynbtnet.preparation.preprocess import preprocess_volume

from .conftest import WriteCohort

pytest.importorskip("nnunetv2", reason="nnU-Net is not installed; pip install 'gynbtnet[nnunet]'")

from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (
    ANISO_THRESHOLD,
    ExperimentPlanner,
)
from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.preprocessing.resampling.default_resampling import (
    compute_new_shape,
    determine_do_sep_z_and_axis,
)
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

DATASET = "Dataset500_Phantom"
ISOTROPIC = [((6.0, 6.0, 6.0), (32, 48, 64)), ((5.5, 6.5, 6.5), (34, 44, 58)), ((7.0, 6.0, 6.0), (28, 48, 64))]
THICK = [((10.0, 2.5, 2.5), (16, 96, 128)), ((8.0, 2.0, 2.0), (20, 110, 140)), ((12.0, 3.0, 3.0), (14, 80, 104))]
SAMPLED_VOXELS = 2_000_000  # voxels that nnU-Net samples per cohort here; GynBTNet samples ten million
SIGMAS = 5


@dataclass(frozen=True)
class Planned:
    """A synthetic cohort in nnU-Net's folders with nnU-Net's fingerprint and planner."""

    cohort: Cohort
    fingerprint: dict[str, Any]
    planner: ExperimentPlanner


@pytest.fixture(scope="module", params=[ISOTROPIC, THICK], ids=["isotropic", "thick slices"])
def planned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planned]:
    folder = tmp_path_factory.mktemp("nnunet")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("raw", "preprocessed", "results"):
            patch.setenv(f"nnUNet_{name}", str(folder / name))
        # nnU-Net's worker processes run as threads of this process
        threads = SimpleNamespace(Pool=multiprocessing.pool.ThreadPool)
        patch.setattr(fingerprint_extractor, "multiprocessing", SimpleNamespace(get_context=lambda _: threads))
        cohort = write_phantoms(folder / "raw" / DATASET, request.param)
        extractor = fingerprint_extractor.DatasetFingerprintExtractor(DATASET, num_processes=1)
        extractor.num_foreground_voxels_for_intensitystats = SAMPLED_VOXELS
        extractor.show_progress_bar = False
        fingerprint = extractor.run()
        yield Planned(cohort, fingerprint, ExperimentPlanner(DATASET))


def write_phantoms(folder: Path, grids: list[tuple[tuple[float, float, float], tuple[int, int, int]]]) -> Cohort:
    cases = []
    for patient, (spacing, matrix) in enumerate(grids):
        phantom = phantom_case(0, patient, 0, pelvic_geometry(spacing, matrix))
        case = Case(
            patient=f"p{patient}",
            fraction=1,
            id=f"p{patient}_f1",
            images=(folder / "imagesTr" / f"p{patient}_f1_0000.nii.gz",),
            labels=folder / "labelsTr" / f"p{patient}_f1.nii.gz",
            source=Source(synthetic=True),
            geometry=phantom.scan.geometry,
        )
        write_volume(phantom.scan, case.image)
        assert case.labels
        write_volume(phantom.structures.labels, case.labels)
        cases.append(case)
    cohort = Cohort("phantom", STRUCTURES, tuple(cases), folder)
    cohort.save()
    # list the files, so that nnU-Net doesn't start twelve processes to find them
    description = json.loads((folder / "dataset.json").read_text())
    description["dataset"] = {case.id: {"images": [str(case.image)], "label": str(case.labels)} for case in cases}
    (folder / "dataset.json").write_text(json.dumps(description))
    return cohort


@pytest.mark.slow
def test_the_same_fingerprint(planned: Planned, tmp_path: Path) -> None:
    ours = take_fingerprint(planned.cohort)
    ours.save(tmp_path)
    content = json.loads((tmp_path / FINGERPRINT).read_text())
    np.testing.assert_allclose(content["spacings"], planned.fingerprint["spacings"], rtol=1e-6)
    np.testing.assert_array_equal(content["shapes_after_crop"], planned.fingerprint["shapes_after_crop"])
    assert planned.fingerprint["median_relative_size_after_cropping"] == 1
    (ours_ct,), theirs = ours.intensities or (), planned.fingerprint["foreground_intensity_properties_per_channel"][0]
    assert set(content["foreground_intensity_properties_per_channel"]["0"]) == set(theirs)
    inside = foreground_hu(planned.cohort)
    exact_mean = np.mean([values.mean() for values in inside])
    deviation = np.sqrt(np.mean([(values**2).mean() for values in inside]) - exact_mean**2)
    assert abs(ours_ct.mean - theirs["mean"]) < SIGMAS * deviation * np.sqrt(1 / SAMPLED_VOXELS + 1e-7)
    assert ours_ct.std == pytest.approx(theirs["std"], rel=0.01)
    assert (ours_ct.min, ours_ct.max) == (theirs["min"], theirs["max"])
    for share, name in ((0.005, "percentile_00_5"), (0.5, "median"), (0.995, "percentile_99_5")):
        off = SIGMAS * np.sqrt(share * (1 - share) / SAMPLED_VOXELS)
        lowest, highest = quantile(inside, share - off), quantile(inside, share + off)
        assert lowest <= getattr(ours_ct, name) <= highest
        assert lowest <= theirs[name] <= highest


def foreground_hu(cohort: Cohort) -> list[np.ndarray]:
    """Return all HU inside the structures, one array per case."""
    return [
        read_volume(case.image).array[read_volume(case.labels).array > 0].astype(np.float64) for case in cohort.cases
    ]


def quantile(inside: list[np.ndarray], share: float) -> float:
    """Return the quantile of all cases together, each with the same weight."""
    values = np.concatenate(inside)
    weights = np.concatenate([np.full(len(hu), 1 / len(hu) / len(inside)) for hu in inside])
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(below, share)])


def test_nnunet_plans_the_same_from_our_fingerprint(planned: Planned, tmp_path: Path) -> None:
    take_fingerprint(planned.cohort).save(tmp_path)
    theirs, planned.planner.dataset_fingerprint = (
        planned.planner.dataset_fingerprint,
        json.loads((tmp_path / FINGERPRINT).read_text()),
    )
    try:
        spacing = planned.planner.determine_fullres_target_spacing()
        schemes = planned.planner.determine_normalization_scheme_and_whether_mask_is_used_for_norm()
    finally:
        planned.planner.dataset_fingerprint = theirs
    np.testing.assert_allclose(spacing, planned.planner.determine_fullres_target_spacing(), rtol=1e-6)
    assert schemes == planned.planner.determine_normalization_scheme_and_whether_mask_is_used_for_norm()


def test_the_same_plan(planned: Planned) -> None:
    plan = make_plan(planned.cohort, PlanSettings(normalisation="ct", preset="XS", patch_size=(16, 32, 32)))
    np.testing.assert_allclose(plan.spacing, planned.planner.determine_fullres_target_spacing(), rtol=1e-6)
    plans, dataset = to_nnunet(plan)
    written = plans["configurations"][STOCK]
    schemes, by_mask = planned.planner.determine_normalization_scheme_and_whether_mask_is_used_for_norm()
    assert (written["normalization_schemes"], written["use_mask_for_norm"]) == (schemes, by_mask)
    data, data_kwargs, seg, seg_kwargs = planned.planner.determine_resampling()
    assert (written["resampling_fn_data"], written["resampling_fn_data_kwargs"]) == (data.__name__, data_kwargs)
    assert (written["resampling_fn_seg"], written["resampling_fn_seg_kwargs"]) == (seg.__name__, seg_kwargs)
    probabilities, kwargs = planned.planner.determine_segmentation_softmax_export_fn()
    assert written["resampling_fn_probabilities"] == probabilities.__name__
    assert written["resampling_fn_probabilities_kwargs"] == kwargs
    assert dataset["labels"] == planned.planner.dataset_json["labels"]


def test_a_plan_of_nnunets_own(planned: Planned) -> None:
    """Our code reads everything that nnU-Net plans, its network included."""
    planned.planner.UNet_vram_target_GB = 1
    theirs = planned.planner.plan_experiment()
    folder = Path(str(planned.planner.raw_dataset_folder).replace("raw", "preprocessed"))
    loaded = load_plan(folder, preset="XS")
    ours = make_plan(planned.cohort, PlanSettings(normalisation="ct", preset="XS", patch_size=(16, 32, 32)))
    np.testing.assert_allclose(loaded.spacing, ours.spacing, rtol=1e-6)
    assert (loaded.structures, loaded.channels, loaded.normalisation) == (STRUCTURES, ("CT",), "ct")
    assert loaded.separate_z == "auto"
    assert loaded.intensities
    assert loaded.intensities[0].mean == pytest.approx(ours.intensities[0].mean, abs=1)
    configuration = theirs["configurations"][STOCK]
    assert loaded.batch_size == configuration["batch_size"]
    assert all(abs(a - b) <= 8 or a == 16 for a, b in zip(loaded.patch_size, configuration["patch_size"], strict=True))
    assert "PlainConvUNet" in loaded.notes[0]
    assert from_nnunet(*to_nnunet(loaded)) == loaded


def test_the_same_voxels(planned: Planned) -> None:
    """nnU-Net preprocesses by our plan and gets the same shapes and values."""
    plan = make_plan(planned.cohort, PlanSettings(normalisation="ct", preset="XS", patch_size=(16, 32, 32)))
    plans, dataset = to_nnunet(plan, DATASET)
    manager = PlansManager(json.loads(json.dumps(plans)))
    for case in planned.cohort.cases:
        theirs, _, properties = DefaultPreprocessor(verbose=False).run_case(
            [str(case.image)], str(case.labels), manager, manager.get_configuration(STOCK), dataset
        )
        ours, grid = preprocess_volume([read_volume(case.image)], plan)
        assert ours.shape == theirs.shape == (1, *grid.shape)
        off = np.abs(ours - theirs) / theirs.std()
        assert (off < 0.01).mean() > 0.999
        axis = determine_do_sep_z_and_axis(None, properties["spacing"], plan.spacing)[1]
        assert plan.separate_axis(case.geometry.spacing) == axis


lengths = st.floats(0.2, 12) | st.sampled_from([0.5, 0.9765625, 1.0, 1.5, 3.0, 5.0, 9.0])
spacings = st.tuples(lengths, lengths, lengths)
shapes = st.tuples(*[st.integers(1, 600)] * 3)


@given(spacings, spacings)
def test_the_same_separate_axis(source: tuple[float, float, float], target: tuple[float, float, float]) -> None:
    separately, axis = determine_do_sep_z_and_axis(None, source, target)
    assert separate_axis(source, target) == axis
    assert (axis is not None) == separately


@given(spacings, spacings, shapes)
def test_the_same_shape(
    source: tuple[float, float, float], target: tuple[float, float, float], shape: tuple[int, int, int]
) -> None:
    np.testing.assert_array_equal(
        shape_at(target, shape, source), np.maximum(compute_new_shape(shape, source, target), 1)
    )


@given(spacings, st.tuples(*[st.integers(1, 20).map(lambda n: 16 * n)] * 3))
@example(
    (0.21875, 1.0, 7.0), (144, 16, 16)
)  # an odd number of voxels that isn't halved keeps a coarser axis from being halved
def test_the_same_levels_if_the_patch_is_unchanged(
    spacing: tuple[float, float, float], patch: tuple[int, int, int]
) -> None:
    _, strides, kernels, enlarged, _ = get_pool_and_conv_props(spacing, patch, 4, 999999)
    ours = nnunet_topology(spacing, patch)
    if tuple(enlarged) == patch:
        assert (ours.strides, ours.kernels) == (strides, kernels)
    total = np.prod(ours.strides, axis=0)
    assert not (patch % total).any()
    assert (patch // total >= 4).all()


@given(st.lists(st.tuples(spacings, shapes), min_size=1, max_size=12))
def test_the_same_target_spacing(scans: list[tuple[tuple[float, float, float], tuple[int, int, int]]]) -> None:
    scan_spacings, sizes = [spacing for spacing, _ in scans], [size for _, size in scans]
    planner = ExperimentPlanner.__new__(ExperimentPlanner)  # without the dataset that its constructor reads
    planner.dataset_fingerprint = {"spacings": scan_spacings, "shapes_after_crop": sizes}
    planner.anisotropy_threshold, planner.overwrite_target_spacing = ANISO_THRESHOLD, None
    assert target_spacing(scan_spacings, sizes) == tuple(planner.determine_fullres_target_spacing())


def test_channels_that_are_no_ct_are_zscored_as_nnunet_does_it() -> None:
    channels = ("T2", "CT", "ct", "CT contrast")
    planner = ExperimentPlanner.__new__(ExperimentPlanner)
    planner.dataset_json = {"channel_names": {str(i): channel for i, channel in enumerate(channels)}}
    planner.dataset_fingerprint = {"median_relative_size_after_cropping": 1.0}
    intensities = (Intensity(50.0, 20.0, -10.0, 120.0, 45.0, -500.0, 2000.0),) * 4
    plan = Plan(("a",), (1, 1, 1), "ct", intensities, (32, 32, 32), 2, "XS", preset_strides("XS"), channels=channels)
    written = to_nnunet(plan)[0]["configurations"][STOCK]
    schemes, by_mask = planner.determine_normalization_scheme_and_whether_mask_is_used_for_norm()
    assert (written["normalization_schemes"], written["use_mask_for_norm"]) == (schemes, by_mask)


def test_channels_are_measured_and_prepared_as_nnunet_does_it(write_cohort: WriteCohort) -> None:
    """A CT and an MRI; on a grid that the plan keeps, where z-scores before and after resampling are the same."""
    cohort = write_cohort([Geometry((12, 20, 24), (2.0, 1.0, 1.0))], channels=("CT", "T2"))
    plan = make_plan(cohort, PlanSettings(normalisation="ct", preset="XS", patch_size=(16, 32, 32)))
    plans, dataset = to_nnunet(plan)
    manager = PlansManager(json.loads(json.dumps(plans)))
    (case,) = cohort.cases
    theirs, _, _ = DefaultPreprocessor(verbose=False).run_case(
        [str(path) for path in case.images], str(case.labels), manager, manager.get_configuration(STOCK), dataset
    )
    ours, _ = preprocess_volume([read_volume(path) for path in case.images], plan)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    images = np.stack([read_volume(path).array for path in case.images])
    labels = read_volume(case.labels).array[np.newaxis]
    _, statistics = fingerprint_extractor.DatasetFingerprintExtractor.collect_foreground_intensities(labels, images)
    for intensity, expected in zip(plan.intensities or (), statistics, strict=True):
        for name, value in expected.items():
            # half of the voxels are 100 HU and half 200, so the median is one of them or between
            assert getattr(intensity, name) == pytest.approx(value, abs=51 if name == "median" else 0.1)
