"""A scan of several channels: which files they are in, and that each reaches the network."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gynbtnet.imaging import Geometry, Volume, read_volume, write_volume
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.prediction_request import PredictionRequest
from gynbtnet.inference.scan_prediction import predict_scan
from gynbtnet.inference.scans.channel_files import find_further_channels
from gynbtnet.runtime import BadInput

CHANNELS = ("CT", "T2")
GRID = Geometry((16, 32, 32), (2.0, 2.0, 2.0))


class BrightInTheSecond(torch.nn.Module):
    """Network that finds the bladder in bright voxels of the second channel, for any first channel."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        second = image[:, 1:2]
        return torch.cat([1 - second, second - 1, torch.full_like(second, -9)], 1)


@pytest.fixture
def two_channel_model(bright_model):
    object.__setattr__(bright_model, "plan", replace(bright_model.plan, channels=CHANNELS))
    object.__setattr__(bright_model, "network", BrightInTheSecond())
    return bright_model


@pytest.fixture
def scan(tmp_path):
    """A CT with a bright block, and a T2 with one in another region."""
    arrays = np.zeros((2, *GRID.shape), np.int16)
    arrays[0, :, :2] = -1000
    arrays[0, 4:8, 4:12, 4:12] = 1000
    arrays[1, 8:12, 20:28, 20:28] = 500
    for i, array in enumerate(arrays):
        write_volume(Volume(array, GRID), tmp_path / f"scan_{i:04d}.nii.gz")
    return tmp_path / "scan_0000.nii.gz", arrays[1] > 0


def test_the_second_channel_is_found_next_to_the_first_and_read(two_channel_model, scan, tmp_path):
    path, bright = scan
    settings = PredictionSettings(mirroring=False)
    request = PredictionRequest.from_path(two_channel_model, path, tmp_path / "out", settings=settings)
    out = predict_scan(two_channel_model, request)
    assert np.array_equal(read_volume(out / "labels.nii.gz").array == 1, bright)


def test_a_named_file_goes_first(two_channel_model, scan, tmp_path):
    path, bright = scan
    other = tmp_path / "t2.nii.gz"
    write_volume(Volume(np.flip(bright, 1).astype(np.int16), GRID), other)
    settings = PredictionSettings(mirroring=False)
    request = PredictionRequest.from_path(
        two_channel_model, path, tmp_path / "out", channels=[other], settings=settings
    )
    out = predict_scan(two_channel_model, request)
    assert np.array_equal(read_volume(out / "labels.nii.gz").array == 1, np.flip(bright, 1))


def test_a_channel_on_another_grid_is_refused(two_channel_model, scan, tmp_path):
    path, bright = scan
    write_volume(Volume(bright.astype(np.int16), replace(GRID, origin=(0.0, 0.0, 5.0))), tmp_path / "t2.nii.gz")
    request = PredictionRequest.from_path(two_channel_model, path, tmp_path / "out", channels=[tmp_path / "t2.nii.gz"])
    with pytest.raises(BadInput, match=r"T2 is on another grid than CT.*5 mm off"):
        predict_scan(two_channel_model, request)
    assert not (tmp_path / "out").exists()


def test_missing_channels_are_counted(scan, tmp_path):
    path, _ = scan
    with pytest.raises(BadInput, match=r"3 channels \(CT, T2, T1\).*has 2.*Give an image file for each"):
        find_further_channels(path, (), ("CT", "T2", "T1"))
    with pytest.raises(BadInput, match=r"1 channel \(CT\).* has 2"):
        find_further_channels(path, [tmp_path / "scan_0001.nii.gz"], ("CT",))
    with pytest.raises(BadInput, match="There is no file"):
        find_further_channels(path, [tmp_path / "absent.nii.gz"], CHANNELS)


def test_a_scan_of_one_channel_needs_no_name(tmp_path):
    assert find_further_channels(tmp_path / "ct.nii.gz", (), ("CT",)) == ()
